"""`orchestrator serve`: what it tells, whom it refuses, how it ends."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest
import requests

from orchestrator.app.cli.exits import ExitCode

if TYPE_CHECKING:
    from support.command import CommandLine

pytestmark = pytest.mark.acceptance

ANY_PORT = ("serve", "--port", "0")


@pytest.fixture(autouse=True)
def _any_metrics_port(orchestrator: CommandLine) -> None:
    orchestrator.environment["ORCHESTRATOR_SERVER_METRICS_PORT"] = "0"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_learns_the_address_and_stops_it(orchestrator: CommandLine, number: signal.Signals) -> None:
    """One JSON line once requests are answered; a signal ends it with code 0 and leaves no address behind."""
    with orchestrator.started(*ANY_PORT, "--json") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert (told["pid"], told["data_dir"]) == (process.pid, str(orchestrator.data_dir))
        health = requests.get(f"{told['address']}/health", timeout=10).json()
        assert health["status"] == "healthy"
        assert {"engine", "tables"} <= set(health["components"])
        process.send_signal(number)
        rest, _ = process.communicate()
    assert (process.returncode, rest) == (ExitCode.OK, "")
    assert not (orchestrator.data_dir / "service.json").exists()


def test_people_are_welcomed(orchestrator: CommandLine) -> None:
    """Address, data directory, metrics, who writes, and how to stop, on standard error and nothing else."""
    with orchestrator.started(*ANY_PORT) as process:
        assert process.stderr is not None
        said = ""
        while "Try:" not in said:
            said += process.stderr.readline()
        url = re.findall(r"Address +(\S+)", said)[0]
        requests.get(f"{url}/health", timeout=10)
        assert re.fullmatch(r"GET /health 200 \d+ ms\n", process.stderr.readline())
    assert said.startswith("Address ")
    assert "/metrics" in said
    words = ("http://127.0.0.1:", "/docs", "orchestrator-data", "offline composer", "plans by rules")
    for word in (*words, "our own", "dev mode", "Ctrl-C"):
        assert word in said


def test_a_second_service_on_the_same_data_is_refused(orchestrator: CommandLine) -> None:
    """Exit code 4; the message names the first one's pid and address."""
    with orchestrator.started(*ANY_PORT, "--json") as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        refused = orchestrator(*ANY_PORT)
    assert refused.returncode == ExitCode.CONFLICT
    said = " ".join(refused.stderr.split())
    assert f"pid {process.pid}, which serves {address}" in said


def test_a_taken_port_is_told_with_its_setting(orchestrator: CommandLine) -> None:
    """Exit code 4, what to set, and nothing made on the disk."""
    with orchestrator.started(*ANY_PORT, "--json") as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["address"].rpartition(":")[2]
        refused = orchestrator("serve", "--port", port, "--data-dir", "other")
    assert refused.returncode == ExitCode.CONFLICT
    assert not (orchestrator.folder / "other").exists()
    assert "Set --port (server.port) to a free port" in " ".join(refused.stderr.split())
    assert "another program already uses that port" in " ".join(refused.stderr.split())


def test_a_file_is_no_data_directory(orchestrator: CommandLine) -> None:
    """Exit code 2, and what the matter is."""
    (orchestrator.folder / "notes.md").write_text("")
    refused = orchestrator(*ANY_PORT, "--data-dir", "notes.md")
    assert refused.returncode == ExitCode.USAGE
    assert "notes.md is a file, not a directory" in " ".join(refused.stderr.split())

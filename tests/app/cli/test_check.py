"""`orchestrator runs check`: real processes, beside a service that runs and without one."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import requests

from orchestrator.app.cli.exits import ExitCode
from support import model_server
from support.command import CommandLine
from support.services import ServiceProcess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.acceptance

LIMIT_S = 30

OLD = """
from orchestrator import Context, step, workflow

@step
async def fetch_page(url: str) -> str:
    return "page"

@step
async def summarise(page: str) -> str:
    return page

@workflow
async def crawl(ctx: Context, url: str) -> str:
    page = await ctx.run(fetch_page, url)
    short = await ctx.run(summarise, page)
    return short + await ctx.receive("approve", str)
"""
# Of another length: Python takes a file of the same second and size for the one that it has compiled.
NEW = OLD.replace("summarise", "translate_page")
PROGRAM = """
import asyncio
from orchestrator import EmbeddedEngine
from my_app.workflows import crawl, fetch_page, summarise

async def main():
    async with EmbeddedEngine("runs.db", workflows=[crawl], steps=[fetch_page, summarise]) as engine:
        for number in range(2):
            run = await engine.start(crawl, "a", id=f"crawl-{number}")
            while not [step for step in await run.steps() if step.name == "summarise" and step.result]:
                await asyncio.sleep(0.01)
        print("waiting", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_the_runs_of_a_service_fit_its_own_code(tmp_path: Path) -> None:
    """While the service is at work on them; and it goes on as before."""
    with model_server.model_server() as provider:
        provider.respond = model_server.text("…", hold=threading.Event())
        environment = {"ORCHESTRATOR_MODEL_BASE_URL": provider.base_url}
        with ServiceProcess(tmp_path, environment) as service:
            command = CommandLine(tmp_path, {**environment, "ORCHESTRATOR_DATA_DIR": str(service.data_dir)})
            sessions = f"{service.base_url}/api/sessions"
            session_id = requests.post(sessions, json={"topic": "Tides"}, timeout=LIMIT_S).json()["id"]
            with requests.get(f"{sessions}/{session_id}/run", stream=True, timeout=LIMIT_S) as stream:
                assert any(b"step-start" in line for line in stream.iter_lines())
                done = command("runs", "check")
                assert (done.returncode, done.stdout) == (ExitCode.OK, "")
                assert "1 open run checked: all fit the code." in done.stderr
                (line,) = command("runs", "check", "--json").stdout.splitlines()
                assert json.loads(line)["fits"]
                status = requests.get(f"{sessions}/{session_id}", timeout=LIMIT_S).json()["status"]
                assert status == "running"


def test_code_of_ones_own_is_checked_while_the_old_code_runs(orchestrator: CommandLine) -> None:
    """The new code is what lies in the current folder; the diff names the step that was renamed."""
    folder = orchestrator.folder
    package = folder / "my_app"
    package.mkdir()
    (package / "__init__.py").touch()
    workflows = package / "workflows.py"
    workflows.write_text(OLD)
    (folder / "main.py").write_text(PROGRAM)
    journal = folder / "runs.db"
    arguments = ("runs", "check", "--module", "my_app.workflows", "--journal", "runs.db")
    with orchestrator.program(sys.executable, "main.py") as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "waiting\n"
        before = _digest(journal)
        done = orchestrator(*arguments)
        assert (done.returncode, done.stdout) == (ExitCode.OK, "")
        workflows.write_text(NEW)
        done = orchestrator(*arguments)
        assert done.returncode == ExitCode.MISFIT
        assert "crawl-1  crawl" in done.stdout
        assert "      1:fetch_page\n    - 2:summarise\n    + 2:translate_page\n" in done.stdout
        assert "2 open runs checked: 2 would be stuck" in done.stderr
        for_scripts = orchestrator(*arguments, "--json")
        assert for_scripts.returncode == ExitCode.MISFIT
        lines = [json.loads(line) for line in for_scripts.stdout.splitlines()]
        assert [(line["run_id"], line["fits"], line["expected"]) for line in lines] == [
            ("crawl-0", False, "2:summarise"),
            ("crawl-1", False, "2:summarise"),
        ]
        assert _digest(journal) == before
    narrow = orchestrator("runs", "check", "--journal", "runs.db")
    assert narrow.returncode == ExitCode.USAGE
    assert "--module: name the code of that engine" in narrow.stderr
    workflows.write_text("from orchestrator import workflow\n\n@workflow\nasync def other(ctx): ...\n")
    done = orchestrator(*arguments)
    assert done.returncode == ExitCode.MISFIT
    assert "no workflow 'crawl' was given to this engine (it has: other)" in done.stdout


def _digest(journal: Path) -> list[str]:
    files = [journal, journal.with_name("runs.db-wal")]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]

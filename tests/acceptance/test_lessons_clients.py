"""The clients that document 001 shows, word for word, against the service as a process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.services import COMMANDS

if TYPE_CHECKING:
    from support.services import ServiceProcess

pytestmark = pytest.mark.acceptance

CLIENTS = Path(__file__).parents[1] / "clients"
LIMIT_S = 60
TYPES_OF_A_WHOLE_LESSON = {"connected", "step-start", "step-delta", "step-complete", "final"}


def example(language: str) -> str:
    """The document's example in that language."""
    found = re.search(rf"```{language}\n(.*?)```", (CLIENTS / "document_001.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def output_of(command: list[str], **environment: str) -> str:
    """What a program prints, which must succeed."""
    done = subprocess.run(
        command,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_client(service_process: ServiceProcess, tmp_path: Path) -> None:
    """It prints every type of event, connected first and final last."""
    program = tmp_path / "client.py"
    program.write_text(example("python"))
    printed = output_of(
        [sys.executable, str(CLIENTS / "at_port.py"), str(service_process.port), str(program)]
    )
    lines = printed.splitlines()
    assert (lines[0], lines[-1]) == ("Event: connected", "Event: final")
    assert {line.removeprefix("Event: ") for line in lines} == TYPES_OF_A_WHOLE_LESSON


def test_the_javascript_client(service_process: ServiceProcess, tmp_path: Path) -> None:
    """With a real EventSource, which gets the stream by GET and closes it at the end."""
    program = tmp_path / "client.mjs"
    program.write_text(example("javascript"))
    page = ["--import", str(CLIENTS / "as_a_page.mjs")]
    printed = output_of([str(COMMANDS / "node"), *page, str(program)], ORIGIN=service_process.base_url)
    types = re.findall(r"^Event: (\S+)", printed, re.MULTILINE)
    assert (types[0], types[-1]) == ("connected", "final")
    assert set(types) == TYPES_OF_A_WHOLE_LESSON


def test_the_curl_commands(service_process: ServiceProcess, tmp_path: Path) -> None:
    """Create, stream, get the result: each as it stands, with the id that the first one answered."""
    (tmp_path / ".curlrc").write_text(
        f'connect-to = "localhost:8080:127.0.0.1:{service_process.port}"\nsilent\n'
    )
    create, stream, result = [part.partition("\n")[2] for part in example("bash").strip().split("\n\n")]
    session_id = json.loads(output_of(["bash", "-c", create], CURL_HOME=str(tmp_path)))["id"]
    streamed = output_of(["bash", "-c", stream.replace("{id}", session_id)], CURL_HOME=str(tmp_path))
    got = json.loads(output_of(["bash", "-c", result.replace("{id}", session_id)], CURL_HOME=str(tmp_path)))
    told = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    assert {event["type"] for event in told} == TYPES_OF_A_WHOLE_LESSON
    assert told[-1]["data"]["result"] == got
    assert got["lesson"].startswith("# Machine learning")

"""`orchestrator lesson`, as a process: alone, beside a service, interrupted, killed, and gone on with."""

from __future__ import annotations

import json
import re
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.app.cli.exits import ExitCode
from support import model_server
from support.command import CommandLine
from support.scripted_lesson import CALLS, SUMMARY, scripted
from support.services import ServiceProcess

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

SAMPLE = Path(__file__).parents[3] / "samples" / "photosynthesis.md"
CALLS_BEFORE_THE_HELD_ONE = 3  # analysis, outline, first section


@pytest.fixture
def provider() -> Iterator[model_server.ModelServer]:
    """A model that writes a small lesson."""
    with model_server.model_server() as server:
        server.respond = scripted
        yield server


@pytest.fixture
def with_model(tmp_path: Path, provider: model_server.ModelServer) -> CommandLine:
    """The command, with that model configured."""
    return CommandLine(tmp_path, {"ORCHESTRATOR_MODEL_BASE_URL": provider.base_url})


def hold_the_second_section(provider: model_server.ModelServer) -> None:
    """Let the model stop in the middle of the second section for as long as it lives."""
    held = model_server.text("The moon pulls", hold=threading.Event())
    provider.will(*[scripted] * CALLS_BEFORE_THE_HELD_ONE, held)


def wait_for_the_second_section(process: subprocess.Popen[str]) -> str:
    """Read the command's JSON lines until the second section has begun; gives the session's id."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event.get("data", {}).get("part") == 2 and "The" in event["data"]["delta"]:
            return str(event["session_id"])
    raise AssertionError("the second section never began")


def test_a_lesson_is_written_from_the_learners_own_text(orchestrator: CommandLine) -> None:
    """With neither model nor service: Markdown with its pictures; its path alone on standard output."""
    done = orchestrator("lesson", "Photosynthesis", "--materials", str(SAMPLE), "--out", "out")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "out/lesson.md\n")
    assert "[5/5] finalize-lesson done in" in done.stderr
    assert "Written by the offline composer" in done.stderr
    lesson = (orchestrator.folder / "out" / "lesson.md").read_text()
    assert "Calvin cycle" in lesson
    pictures = re.findall(r"\((images/[^)]+)\)", lesson)
    assert pictures
    for name in pictures:
        assert (orchestrator.folder / "out" / name).read_bytes().startswith(b"\xff\xd8\xff")


def test_a_script_gets_every_event_and_the_path(with_model: CommandLine) -> None:
    """JSON lines from the first event to the written file, and nothing on standard error."""
    done = with_model("lesson", "Tides", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    kinds = [event["type"] for event in events]
    assert kinds[0] == "connected"
    assert kinds[-2:] == ["final", "written"]
    assert kinds.count("step-complete") == 5
    assert (events[-1]["path"], events[-1]["summary"]) == ("tides/lesson.md", SUMMARY)


def test_after_kill_9_the_same_command_goes_on_and_pays_for_nothing_twice(
    with_model: CommandLine, provider: model_server.ModelServer
) -> None:
    """Analysis, outline and first section were done before the kill; only the rest is asked for."""
    hold_the_second_section(provider)
    with with_model.started("lesson", "Tides", "--json") as process:
        session_id = wait_for_the_second_section(process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    listed = with_model("runs", "list", "--workflow", "lesson", "--status", "running", "--json")
    assert json.loads(listed.stdout)["tags"] == {"session": session_id}

    asked_before = len(provider.asked)
    done = with_model("lesson", "Tides")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "tides/lesson.md\n")
    assert f"Session {session_id}" in done.stderr
    assert "Going on with what was begun at" in done.stderr
    assert len(provider.asked) - asked_before == CALLS - CALLS_BEFORE_THE_HELD_ONE


def test_ctrl_c_says_how_to_go_on(with_model: CommandLine, provider: model_server.ModelServer) -> None:
    """Exit code 130 and the command that resumes; the command then finishes the lesson."""
    hold_the_second_section(provider)
    with with_model.started("lesson", "Tides", "--json") as process:
        session_id = wait_for_the_second_section(process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert f"orchestrator lesson --resume {session_id}" in said
    assert "Traceback" not in said
    done = with_model("lesson", "--resume", session_id)
    assert (done.returncode, done.stdout) == (ExitCode.OK, "tides/lesson.md\n")


def test_a_finished_lesson_can_be_had_again_for_nothing(
    with_model: CommandLine, provider: model_server.ModelServer
) -> None:
    """``--resume`` of a completed session writes it again without asking the model."""
    done = with_model("lesson", "Tides", "--json")
    session_id = json.loads(done.stdout.splitlines()[0])["session_id"]
    asked = len(provider.asked)
    again = with_model("lesson", "--resume", session_id, "--out", "again")
    assert (again.returncode, again.stdout) == (ExitCode.OK, "again/lesson.md\n")
    assert len(provider.asked) == asked


def test_a_failed_lesson_says_why_and_goes_on_where_it_failed(
    with_model: CommandLine, provider: model_server.ModelServer
) -> None:
    """A refused key fails the run with the reason; once mended, what was done is not done again."""
    refused = model_server.error(401, code="invalid_api_key", message="No such key.")
    provider.will(scripted, scripted, refused)
    failed = with_model("lesson", "Tides")
    assert (failed.returncode, failed.stdout) == (ExitCode.FAILED, "")
    assert "Error: " in failed.stderr
    said = " ".join(failed.stderr.split())
    assert f"at {provider.base_url} (model.name and model.base_url). Try `orchestrator doctor`" in said
    session_id = re.findall(r"--resume (\S+)", failed.stderr)[0]

    asked_before = len(provider.asked)
    assert with_model("lesson", "--resume", session_id).returncode == ExitCode.OK
    assert len(provider.asked) - asked_before == CALLS - 2


def test_an_unknown_session_is_not_found(orchestrator: CommandLine) -> None:
    """A mistyped id is told as such."""
    done = orchestrator("lesson", "--resume", "01a1fc51-0000-7000-8000-000000000000")
    assert done.returncode == ExitCode.NOT_FOUND
    assert "`orchestrator runs list` shows what there is" in " ".join(done.stderr.split())


def test_beside_a_service_the_lesson_is_its_and_survives_its_death(
    tmp_path: Path, provider: model_server.ModelServer
) -> None:
    """The command watches the running service; when that is killed and started again, it misses nothing."""
    hold_the_second_section(provider)
    environment = {"ORCHESTRATOR_MODEL_BASE_URL": provider.base_url}
    with ServiceProcess(tmp_path, environment) as service:
        command = CommandLine(tmp_path, {"ORCHESTRATOR_DATA_DIR": str(service.data_dir)})
        with command.started("lesson", "Tides", "--json") as process:
            wait_for_the_second_section(process)
            service.restart()
            rest, _ = process.communicate()
    events = [json.loads(line) for line in rest.splitlines()]
    assert process.returncode == ExitCode.OK
    assert [event["type"] for event in events if event["type"] not in {"step-delta", "step-start"}] == [
        *["step-complete"] * 3,
        "final",
        "written",
    ]
    assert (tmp_path / "tides" / "lesson.md").exists()


def test_without_its_service_the_command_goes_on_by_itself(
    tmp_path: Path, provider: model_server.ModelServer
) -> None:
    """A service that is killed and stays away is waited for a while; then the lesson is finished here."""
    hold_the_second_section(provider)
    environment = {"ORCHESTRATOR_MODEL_BASE_URL": provider.base_url}
    with ServiceProcess(tmp_path, environment) as service:
        command = CommandLine(tmp_path, {"ORCHESTRATOR_DATA_DIR": str(service.data_dir)} | environment)
        with command.started("lesson", "Tides", "--json") as process:
            wait_for_the_second_section(process)
            service.kill()
            rest, _ = process.communicate()
    assert process.returncode == ExitCode.OK
    kinds = [json.loads(line)["type"] for line in rest.splitlines()]
    assert kinds.count("step-complete") == 3
    assert kinds[-2:] == ["final", "written"]

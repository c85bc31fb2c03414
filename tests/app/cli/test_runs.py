"""`orchestrator runs`: reading the journal beside a service and without one, and cancelling both ways."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
import requests

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.data_dir import serving
from support import model_server
from support.command import CommandLine
from support.services import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.acceptance

LIMIT_S = 30


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[ServiceProcess, CommandLine, str]]:
    """A service with a session that its model keeps waiting, the command beside it, and the session's id."""
    with model_server.model_server() as provider:
        provider.respond = model_server.text("…", hold=threading.Event())
        environment = {"ORCHESTRATOR_MODEL_BASE_URL": provider.base_url}
        with ServiceProcess(tmp_path, environment) as service:
            sessions = f"{service.base_url}/api/sessions"
            session_id = requests.post(sessions, json={"topic": "Tides"}, timeout=LIMIT_S).json()["id"]
            with requests.get(f"{sessions}/{session_id}/run", stream=True, timeout=LIMIT_S) as stream:
                assert any(b"step-start" in line for line in stream.iter_lines())
            settings = {**environment, "ORCHESTRATOR_DATA_DIR": str(service.data_dir)}
            yield service, CommandLine(tmp_path, settings), session_id


def test_a_finished_run_is_shown_without_a_service(orchestrator: CommandLine) -> None:
    """Its row, its steps and its whole history, for people and for scripts."""
    assert orchestrator("lesson", "Tides").returncode == ExitCode.OK
    listed = json.loads(orchestrator("runs", "list", "--json").stdout)
    assert (listed["workflow"], listed["status"]) == ("lesson", "completed")
    for name in (listed["id"], listed["tags"]["session"]):
        shown = json.loads(orchestrator("runs", "show", name, "--json").stdout)
        assert shown["id"] == listed["id"]
        assert {step["status"] for step in shown["steps"]} == {"completed"}
    events = [json.loads(line) for line in orchestrator("runs", "events", name, "--json").stdout.splitlines()]
    assert [event["offset"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("run-started", "run-completed")

    assert f"{listed['id']} lesson   completed" in orchestrator("runs", "list").stdout
    assert "finalize-lesson" in orchestrator("runs", "show", listed["id"]).stdout
    orchestrator.environment["COLUMNS"] = "60"
    assert f"{listed['id']} completed" in orchestrator("runs", "list").stdout
    lines = orchestrator("runs", "events", listed["id"], "--after", "1").stdout.splitlines()
    assert len(lines) == len(events) - 1
    assert all(len(line) <= 60 for line in lines)


def test_no_runs_yet_is_no_error(orchestrator: CommandLine) -> None:
    """An empty list for a script, a sentence for people, and no data directory made by looking."""
    done = orchestrator("runs", "list", "--json")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "")
    assert "No runs yet" in done.stderr
    assert not orchestrator.data_dir.exists()


def test_a_file_that_is_no_journal_is_told_as_such(orchestrator: CommandLine) -> None:
    """One sentence that says what it is and what to do."""
    orchestrator.data_dir.mkdir()
    (orchestrator.data_dir / "journal.db").write_bytes(b"rubbish " * 1_000)
    done = orchestrator("runs", "list")
    assert done.returncode == ExitCode.FAILED
    assert "is damaged or no SQLite file" in done.stderr
    assert "Traceback" not in done.stderr


def test_cancel_goes_through_the_running_service(busy: tuple[ServiceProcess, CommandLine, str]) -> None:
    """The run ends as cancelled, the step in flight with it; a second cancel finds it ended."""
    _, command, session_id = busy
    assert command("runs", "cancel", session_id).stdout.endswith("-1 is cancelled.\n")
    again = json.loads(command("runs", "cancel", session_id, "--json").stdout)
    assert (again["was"], again["status"]) == ("cancelled", "cancelled")


def test_cancel_without_a_service_opens_the_journal_for_a_moment(
    busy: tuple[ServiceProcess, CommandLine, str],
) -> None:
    """What a killed service left running can be stopped without starting it again."""
    service, command, session_id = busy
    service.kill()
    assert "No service runs now" in command("runs", "show", session_id).stderr
    assert command("runs", "cancel", session_id).stdout.endswith("-1 is cancelled.\n")
    assert serving(service.data_dir) is None


def test_cancelling_needs_the_secret_of_the_data_directory(
    busy: tuple[ServiceProcess, CommandLine, str],
) -> None:
    """No token: 401. A wrong one: 403. The right one and an unknown run: 404. The run goes on."""
    service, command, session_id = busy
    found = serving(service.data_dir)
    assert found is not None
    address = f"{service.base_url}/api/v1/runs/lesson-{session_id}-1/cancel"
    for headers, path, status in (
        ({}, address, 401),
        ({"Authorization": "Bearer wrong"}, address, 403),
        ({"Authorization": f"Bearer {found.token}"}, f"{service.base_url}/api/v1/runs/none/cancel", 404),
    ):
        assert requests.post(path, headers=headers, timeout=LIMIT_S).status_code == status
    assert json.loads(command("runs", "show", session_id, "--json").stdout)["status"] == "running"


def test_a_wrong_id_starts_nothing(orchestrator: CommandLine) -> None:
    """Cancelling what is not there is told, also where there is no journal at all."""
    assert orchestrator("runs", "cancel", "none").returncode == ExitCode.NOT_FOUND
    assert orchestrator("lesson", "Tides").returncode == ExitCode.OK
    done = orchestrator("runs", "cancel", "none")
    assert done.returncode == ExitCode.NOT_FOUND
    assert "There is no run or session 'none' here" in done.stderr


def test_fork_goes_through_the_running_service(busy: tuple[ServiceProcess, CommandLine, str]) -> None:
    """It prints the id of the new run, which begins with what the first one recorded; both go on."""
    _, command, session_id = busy
    first = json.loads(command("runs", "show", session_id, "--json").stdout)
    step = first["steps"][-1]
    done = command("runs", "fork", first["id"], "--from-step", f"{step['operation']}:{step['name']}")
    fork = json.loads(command("runs", "show", done.stdout.strip(), "--json").stdout)
    assert fork["tags"] == {**first["tags"], "forked_from": first["id"]}
    assert (fork["status"], fork["workflow"]) == ("running", "lesson")
    assert json.loads(command("runs", "show", first["id"], "--json").stdout)["status"] == "running"


def test_a_fork_that_cannot_be_is_refused_with_the_reason(
    busy: tuple[ServiceProcess, CommandLine, str],
) -> None:
    """Unknown steps and wrong input are told as such; without a service nothing is begun."""
    service, command, session_id = busy
    run_id = f"lesson-{session_id}-1"
    for options, said in (
        ((), "name the step to begin with"),
        (("--from-step", "none"), "has no step 'none'; its steps are 1:"),
        (("--from-step", "1", "--input", "7"), "the input of lesson does not fit its type"),
        (("--from-step", "1", "--input", "{"), "{ is no JSON"),
    ):
        done = command("runs", "fork", run_id, *options)
        assert done.returncode == ExitCode.USAGE
        assert said in " ".join(done.stderr.split())
    assert len(command("runs", "list", "--json").stdout.splitlines()) == 1
    service.kill()
    done = command("runs", "fork", run_id, "--from-step", "1")
    assert done.returncode == ExitCode.UNAVAILABLE
    assert "No service runs" in done.stderr

"""`orchestrator runs`: reading the journal beside a service and without one, and changing what runs."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest
import requests

from orchestrator import Context, EmbeddedEngine, Limit, workflow
from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.data_dir import JOURNAL_FILE, serving
from orchestrator.app.server import Server
from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from orchestrator.durable.runs import EventType, Status
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
    listed = json.loads(orchestrator("runs", "list", "--workflow", "lesson", "--json").stdout)
    assert (listed["workflow"], listed["status"]) == ("lesson", "completed")
    for name in (listed["id"], listed["tags"]["session"]):
        shown = json.loads(orchestrator("runs", "show", name, "--json").stdout)
        assert shown["id"] == listed["id"]
        assert {step["status"] for step in shown["steps"]} == {"completed"}
    events = [json.loads(line) for line in orchestrator("runs", "events", name, "--json").stdout.splitlines()]
    assert [event["offset"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["type"], events[-1]["type"]) == ("run-started", "run-completed")

    assert f"{listed['id']} lesson   completed" in orchestrator("runs", "list", "--workflow", "lesson").stdout
    assert "finalize-lesson" in orchestrator("runs", "show", listed["id"]).stdout
    orchestrator.environment["COLUMNS"] = "60"
    assert f"{listed['id']} completed" in orchestrator("runs", "list", "--workflow", "lesson").stdout
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


def test_a_run_is_paused_through_a_kill_and_resumed(
    busy: tuple[ServiceProcess, CommandLine, str],
) -> None:
    """The service that runs is told; the pause holds in the next one; repeating either changes nothing."""
    service, command, session_id = busy
    run_id = f"lesson-{session_id}-1"
    for _ in range(2):
        assert command("runs", "pause", session_id).stdout == f"Run {run_id} is paused.\n"
    assert json.loads(command("runs", "list", "--status", "paused", "--json").stdout)["id"] == run_id
    service.restart()
    paused = json.loads(command("runs", "pause", run_id, "--json").stdout)
    assert paused == {"id": run_id, "was": "paused", "status": "paused", "reason": ""}
    assert command("runs", "resume", run_id).stdout == f"Run {run_id} goes on.\n"
    again = command("runs", "resume", run_id)
    assert (again.returncode, again.stdout) == (ExitCode.OK, "")
    assert f"Run {run_id} was not paused: it is running." in again.stderr
    assert json.loads(command("runs", "show", run_id, "--json").stdout)["status"] == "running"


def test_a_pause_or_resume_that_cannot_be_is_refused_with_the_reason(
    busy: tuple[ServiceProcess, CommandLine, str],
) -> None:
    """Of an ended run, of one that is not there, and without a service."""
    service, command, session_id = busy
    assert command("runs", "cancel", session_id).returncode == ExitCode.OK
    for verb in ("pause", "resume"):
        ended = command("runs", verb, session_id)
        assert ended.returncode == ExitCode.CONFLICT
        assert f"is cancelled and cannot be {verb}d" in ended.stderr
        assert command("runs", verb, "none").returncode == ExitCode.NOT_FOUND
    service.kill()
    for verb in ("pause", "resume"):
        untold = command("runs", verb, session_id)
        assert untold.returncode == ExitCode.UNAVAILABLE
        assert "No service runs on" in untold.stderr


@workflow
async def forgotten(ctx: Context) -> str:
    """What the service does not have."""
    return await ctx.receive("word", str)


def test_a_resume_of_a_run_that_is_stuck_still_says_why(tmp_path: Path) -> None:
    """It was tried and failed; the list tells the same reason."""

    async def leave_one() -> None:
        (tmp_path / "data").mkdir(mode=0o700)
        async with EmbeddedEngine(tmp_path / "data" / JOURNAL_FILE, workflows=[forgotten]) as engine:
            await engine.start(forgotten, id="old")

    asyncio.run(leave_one())
    with ServiceProcess(tmp_path) as service:
        command = CommandLine(tmp_path, {"ORCHESTRATOR_DATA_DIR": str(service.data_dir)})
        resumed = command("runs", "resume", "old")
        assert resumed.returncode == ExitCode.FAILED
        assert "run old is stuck still: no workflow 'forgotten' was given" in resumed.stderr
        assert "old is stuck: no workflow 'forgotten'" in command("runs", "list").stderr
        assert "no workflow 'forgotten'" in command("runs", "show", "old").stdout
        paused = command("runs", "pause", "old")
        assert paused.returncode == ExitCode.CONFLICT
        assert "run old is stuck and cannot be paused" in paused.stderr


def test_a_cancel_by_force_ends_a_run_at_once(busy: tuple[ServiceProcess, CommandLine, str]) -> None:
    """Without its code; what is no time is refused before anything is done."""
    _, command, session_id = busy
    for wrong in ("-1", "inf", "nan", "soon"):
        assert command("runs", "cancel", session_id, "--force-after", wrong).returncode == ExitCode.USAGE
    assert json.loads(command("runs", "show", session_id, "--json").stdout)["status"] == "running"
    assert command("runs", "cancel", session_id, "--force-after", "0").stdout.endswith("-1 is terminated.\n")


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
    assert len(command("runs", "list", "--workflow", "lesson", "--json").stdout.splitlines()) == 1
    service.kill()
    done = command("runs", "fork", run_id, "--from-step", "1")
    assert done.returncode == ExitCode.UNAVAILABLE
    assert "No service runs" in done.stderr


@workflow(limits=[Limit(1)])
async def alone(ctx: Context) -> str:
    """Be the only one, and clean up for as long as it takes."""
    try:
        return await ctx.receive("word", str)
    finally:
        await ctx.receive("clean", str)


async def test_a_run_that_waits_its_turn_and_one_that_never_ends(tmp_path: Path) -> None:
    """A pending run is paused for when it begins; a cancel by force ends what cleans up for ever."""
    settings = load_settings(None, {"data_dir": tmp_path / "data"})
    listening = settings.server.model_copy(update={"port": 0, "enable_metrics": False})
    command = CommandLine(tmp_path, {"ORCHESTRATOR_DATA_DIR": str(settings.data_dir)})

    async def told(*arguments: str) -> str:
        done = await asyncio.to_thread(command, "runs", *arguments)
        return done.stdout + done.stderr

    with built(settings) as service:
        service.engine.add(workflows=[alone])
        async with Server(service.app, listening, handle_signals=False).running() as address:
            service.claim.announce(address)
            for name in ("first", "second"):
                await service.engine.start(alone, id=name)
            assert "second is pending: waits for a place in limit 'alone'" in await told("list")
            pending = await told("resume", "second")
            assert "waits for a place in limit 'alone' (1 of 1 taken), and will not be paused" in pending
            paused = await told("pause", "second")
            assert paused == "Run second has not begun, and will be paused when it does.\n"
            assert await told("cancel", "first", "--force-after", "0.1") == "Run first is terminated.\n"
            second = await service.engine.get("second")
            async for event in second.events():
                if event.type is EventType.RUN_ADMITTED:
                    break
            assert (await second.describe()).status is Status.PAUSED
            assert await told("resume", "second") == "Run second goes on.\n"
            await second.cancel(force_after=0)


@workflow
async def tidy(ctx: Context) -> None:
    """Wait, in a program of somebody's own."""
    await ctx.receive("go", str)


async def test_the_runs_of_an_engine_of_ones_own_are_read_by_its_journal(orchestrator: CommandLine) -> None:
    """Listed, shown and told event by event, while the engine is at work and later; schedules as well."""
    folder, own = orchestrator.folder, ("--journal", "own.db")

    async def told(*arguments: str) -> str:
        done = await asyncio.to_thread(orchestrator, *arguments, *own)
        return done.stdout + done.stderr

    async with EmbeddedEngine(folder / "own.db", workflows=[tidy]) as engine:
        await engine.start(tidy, id="tidy-1")
        await engine.schedule(tidy, id="nightly", cron="0 3 * * *")
        assert "tidy-1 tidy" in await told("runs", "list")
        assert "Workflow  tidy" in await told("runs", "show", "tidy-1")
        assert "run-started" in await told("runs", "events", "tidy-1")
        scheduled = await told("schedules", "list")
        assert "nightly" in scheduled
        assert "No service runs now" not in scheduled
    assert "No service runs now" in await told("runs", "list")
    assert "Check --journal." in (orchestrator("runs", "show", "tidy-1", "--journal", "none.db").stderr)


async def test_cancel_ends_no_run_whose_code_it_does_not_have(orchestrator: CommandLine) -> None:
    """It could neither clean up nor undo anything; who wants it all the same says so."""
    orchestrator.data_dir.mkdir()
    async with EmbeddedEngine(orchestrator.data_dir / JOURNAL_FILE, workflows=[tidy]) as engine:
        await engine.start(tidy, id="tidy-1")
    done = await asyncio.to_thread(orchestrator, "runs", "cancel", "tidy-1")
    assert done.returncode == ExitCode.UNAVAILABLE
    assert "Run tidy-1 is of the workflow 'tidy', whose code `orchestrator` does not have" in done.stderr
    done = await asyncio.to_thread(orchestrator, "runs", "cancel", "tidy-1", "--force-after", "0")
    assert done.stdout == "Run tidy-1 is terminated.\n"

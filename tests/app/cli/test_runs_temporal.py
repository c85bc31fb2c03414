"""`orchestrator runs` and `schedules` where runs are on a Temporal cluster: the same commands and answers."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import uuid
from typing import TYPE_CHECKING

import pytest
import requests

from orchestrator import Context, TemporalEngine, progress, step, workflow
from orchestrator.app.cli.exits import ExitCode
from orchestrator.durable.runs import EventType, Status
from orchestrator.features.lessons.lesson import LessonRequest
from orchestrator.features.lessons.workflow import lesson
from orchestrator.streams.redis import RedisStreams
from support import model_server
from support.command import CommandLine
from support.services import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.services import TemporalServer

pytestmark = [pytest.mark.acceptance, pytest.mark.temporal]

LIMIT_S = 30


@pytest.fixture
def cluster(temporal_server: TemporalServer) -> dict[str, str]:
    """Settings that name a cluster, and a task queue of this test's own there."""
    return {
        "ORCHESTRATOR_ENGINE": "temporal",
        "ORCHESTRATOR_TEMPORAL_HOST_PORT": temporal_server.address,
        "ORCHESTRATOR_TEMPORAL_TASK_QUEUE": str(uuid.uuid4()),
    }


@pytest.fixture
def busy(tmp_path: Path, cluster: dict[str, str]) -> Iterator[tuple[ServiceProcess, CommandLine, str]]:
    """A service with a run that its model keeps waiting, the command beside it, and the run's id."""
    with model_server.model_server() as provider:
        provider.respond = model_server.text("…", hold=threading.Event())
        environment = {**cluster, "ORCHESTRATOR_MODEL_BASE_URL": provider.base_url}
        # It would give the step that waits so long at the end.
        environment["ORCHESTRATOR_SERVER_SHUTDOWN_TIMEOUT_S"] = "1"
        with ServiceProcess(tmp_path, environment) as service:
            sessions = f"{service.base_url}/api/sessions"
            session_id = requests.post(sessions, json={"topic": "Tides"}, timeout=LIMIT_S).json()["id"]
            with requests.get(f"{sessions}/{session_id}/run", stream=True, timeout=LIMIT_S) as stream:
                assert any(b"step-start" in line for line in stream.iter_lines())
            settings = {**environment, "ORCHESTRATOR_DATA_DIR": str(service.data_dir)}
            yield service, CommandLine(tmp_path, settings), f"lesson-{session_id}-1"


def test_a_finished_run_is_shown(tmp_path: Path, cluster: dict[str, str]) -> None:
    """Beside the service and without one: its row, its steps and its history, for people and scripts."""
    orchestrator = CommandLine(tmp_path, cluster)
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
    assert len(orchestrator("runs", "events", name, "--after", "1").stdout.splitlines()) == len(events) - 1
    for command in ("show", "events", "cancel"):
        assert orchestrator("runs", command, "none").returncode == ExitCode.NOT_FOUND


def test_a_run_is_paused_resumed_forked_and_cancelled(
    busy: tuple[ServiceProcess, CommandLine, str],
) -> None:
    """Through the service that runs; what it was told is shown at once, by id and by filter."""
    service, command, run_id = busy
    assert "No service runs now" not in command("runs", "list").stderr
    assert json.loads(command("runs", "show", run_id, "--json").stdout)["status"] == "running"
    assert types(command("runs", "events", run_id, "--json").stdout) == ["run-started", "step-started"]
    for _ in range(2):
        assert command("runs", "pause", run_id).stdout == f"Run {run_id} is paused.\n"
    assert json.loads(command("runs", "list", "--status", "paused", "--json").stdout)["id"] == run_id
    service.restart()
    paused = json.loads(command("runs", "pause", run_id, "--json").stdout)
    assert paused == {"id": run_id, "was": "paused", "status": "paused", "reason": ""}
    assert command("runs", "resume", run_id).stdout == f"Run {run_id} goes on.\n"
    assert f"Run {run_id} was not paused: it is running." in command("runs", "resume", run_id).stderr

    first = json.loads(command("runs", "show", run_id, "--json").stdout)
    last = first["steps"][-1]
    done = command("runs", "fork", run_id, "--from-step", f"{last['operation']}:{last['name']}")
    fork = json.loads(command("runs", "show", done.stdout.strip(), "--json").stdout)
    assert fork["tags"] == {**first["tags"], "forked_from": run_id}
    for options, said in (
        (("--from-step", "none"), "has no step 'none'; its steps are 1:"),
        (("--from-step", "1", "--input", "7"), "the input of lesson does not fit its type"),
    ):
        done = command("runs", "fork", run_id, *options)
        assert done.returncode == ExitCode.USAGE
        assert said in " ".join(done.stderr.split())

    assert command("runs", "cancel", run_id).stdout == f"Run {run_id} is cancelled.\n"
    again = json.loads(command("runs", "cancel", run_id, "--json").stdout)
    assert (again["was"], again["status"]) == ("cancelled", "cancelled")
    for verb in ("pause", "resume"):
        ended = command("runs", verb, run_id)
        assert ended.returncode == ExitCode.CONFLICT
        assert f"is cancelled and cannot be {verb}d" in ended.stderr
    by_force = command("runs", "cancel", fork["id"], "--force-after", "0")
    assert by_force.stdout == f"Run {fork['id']} is terminated.\n"


@step
async def tell(number: int) -> int:
    """Say something."""
    progress({"number": number})
    return number


@workflow
async def telling(ctx: Context) -> str:
    """Say something, and wait."""
    await ctx.run(tell, 7)
    return await ctx.receive("word", str)


def test_the_runs_of_an_engine_of_ones_own(tmp_path: Path, cluster: dict[str, str], redis_url: str) -> None:
    """What its steps said is shown where Redis keeps it, and it is said when nobody works any more."""
    orchestrator = CommandLine(tmp_path, cluster)
    queue, run_id = cluster["ORCHESTRATOR_TEMPORAL_TASK_QUEUE"], str(uuid.uuid4())

    async def leave_one() -> None:
        address = cluster["ORCHESTRATOR_TEMPORAL_HOST_PORT"]
        async with (
            RedisStreams(redis_url) as streams,
            TemporalEngine(
                address, task_queue=queue, streams=streams, workflows=[telling], steps=[tell]
            ) as engine,
        ):
            run = await engine.start(telling, id=run_id)
            async for event in run.events():
                if event.type == EventType.STEP_COMPLETED:
                    break
            while (await run.describe()).status is not Status.WAITING:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.05)

    before = orchestrator("runs", "list")
    assert (before.returncode, before.stderr) == (ExitCode.OK, "No runs of this kind.\n")
    asyncio.run(leave_one())
    told = ["run-started", "step-started", "step-completed"]
    assert types(orchestrator("runs", "events", run_id, "--json").stdout) == told
    orchestrator.environment["ORCHESTRATOR_REDIS_URL"] = redis_url
    told.insert(2, "step-progress")
    assert types(orchestrator("runs", "events", run_id, "--json").stdout) == told
    assert types(orchestrator("runs", "events", run_id, "--after", "2", "--json").stdout) == told[2:]
    shown = json.loads(orchestrator("runs", "show", run_id, "--json").stdout)
    assert (shown["workflow"], shown["status"], len(shown["steps"])) == ("telling", "waiting", 1)


def types(lines: str) -> list[str]:
    """The types of the events that a command printed."""
    return [json.loads(line)["type"] for line in lines.splitlines()]


@workflow
async def forgotten(ctx: Context) -> None:
    """What the service does not have."""


def test_schedules_are_listed_told_and_started(tmp_path: Path, cluster: dict[str, str]) -> None:
    """For people and scripts; what is told holds through a kill, and without a service nothing is told."""
    own = str(uuid.uuid4())
    leap, old = f"leap-{own}", f"old-{own}"

    async def make_schedules() -> None:
        address, queue = (cluster[f"ORCHESTRATOR_TEMPORAL_{name}"] for name in ("HOST_PORT", "TASK_QUEUE"))
        async with TemporalEngine(
            address, task_queue=queue, workflows=[lesson, forgotten], works=False
        ) as engine:
            request = LessonRequest(session_id="none", owner="", topic="Tides")
            await engine.schedule(lesson, request, id=leap, cron="0 9 29 2 *", zone="Europe/Berlin")
            await engine.schedule(forgotten, id=old, cron="@yearly")

    asyncio.run(make_schedules())
    with ServiceProcess(tmp_path, cluster) as service:
        command = CommandLine(
            tmp_path, {**cluster, "ORCHESTRATOR_DATA_DIR": str(service.data_dir), "TZ": "UTC"}
        )
        listed = [json.loads(line) for line in command("schedules", "list", "--json").stdout.splitlines()]
        days = f"prepare-days-{cluster['ORCHESTRATOR_TEMPORAL_TASK_QUEUE']}"  # the service's own
        found = [(one["id"], one["status"]) for one in listed]
        assert found == [(leap, "active"), (old, "stuck"), (days, "active")]
        assert listed[0]["next_at"].endswith("-02-29T08:00:00Z")
        shown = command("schedules", "list")
        assert f"{old} is stuck: no workflow 'forgotten' was given to this engine" in shown.stderr
        assert "No service runs" not in shown.stderr

        assert command("schedules", "pause", leap).stdout == f"Schedule {leap} is paused.\n"
        service.restart()
        first = json.loads(command("schedules", "list", "--json").stdout.splitlines()[0])
        assert (first["status"], first["next_at"]) == ("paused", None)
        resumed = command("schedules", "resume", leap).stdout
        assert resumed.startswith(f"Schedule {leap} is active; its next run starts at 20")
        run = command("schedules", "run-now", leap).stdout.strip()
        assert json.loads(command("runs", "show", run, "--json").stdout)["tags"] == {"schedule": leap}
        assert command("schedules", "pause", "none").returncode == ExitCode.NOT_FOUND
        stranded = command("schedules", "run-now", old)
        assert stranded.returncode == ExitCode.FAILED
        assert "no workflow 'forgotten'" in stranded.stderr
        service.kill()
        assert command("schedules", "pause", leap).returncode == ExitCode.UNAVAILABLE


def test_it_is_said_when_nobody_works(tmp_path: Path, cluster: dict[str, str]) -> None:
    """Of open runs and of schedules, on a task queue of which no worker ever asked for anything."""
    orchestrator, run_id = CommandLine(tmp_path, cluster), str(uuid.uuid4())

    async def leave_one() -> None:
        address, queue = (cluster[f"ORCHESTRATOR_TEMPORAL_{name}"] for name in ("HOST_PORT", "TASK_QUEUE"))
        async with TemporalEngine(address, task_queue=queue, workflows=[forgotten], works=False) as engine:
            await engine.start(forgotten, id=run_id)
            await engine.schedule(forgotten, id=run_id, cron="@yearly")

    asyncio.run(leave_one())
    assert "No service runs now" in orchestrator("runs", "show", run_id).stderr
    assert "No service runs now" in orchestrator("schedules", "list").stderr


def test_a_cluster_that_does_not_answer_is_told_as_such(orchestrator: CommandLine) -> None:
    """One sentence with its address, and the exit code for what may come back."""
    orchestrator.environment |= {
        "ORCHESTRATOR_ENGINE": "temporal",
        "ORCHESTRATOR_TEMPORAL_HOST_PORT": "127.0.0.1:1",
    }
    for command in (("runs", "list"), ("runs", "show", "a"), ("runs", "pause", "a"), ("schedules", "list")):
        done = orchestrator(*command)
        assert done.returncode == ExitCode.UNAVAILABLE
        assert "127.0.0.1:1" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_sweep_reads_a_journal_alone(orchestrator: CommandLine) -> None:
    """On a cluster it says what to do instead, before it asks anybody; on a journal it works all the same."""
    orchestrator.environment["ORCHESTRATOR_ENGINE"] = "temporal"
    done = orchestrator("runs", "sweep")
    assert done.returncode == ExitCode.USAGE
    assert "`orchestrator runs list --status stuck --status pending` tells" in " ".join(done.stderr.split())
    orchestrator.environment["ORCHESTRATOR_ENGINE"] = "embedded"
    assert orchestrator("lesson", "Tides").returncode == ExitCode.OK
    assert "There are no open runs." in orchestrator("runs", "sweep").stderr


FLOW = """
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
BEGIN = """
import asyncio, sys
from orchestrator import TemporalEngine
from my_flows import crawl, fetch_page, summarise

async def main(address, queue, run_id):
    steps = [fetch_page, summarise]
    async with TemporalEngine(address, task_queue=queue, workflows=[crawl], steps=steps) as engine:
        run = await engine.start(crawl, "a", id=run_id)
        while not [step for step in await run.steps() if step.name == "summarise" and step.result]:
            await asyncio.sleep(0.05)
        print("waiting", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def test_new_code_is_checked_before_a_deploy(tmp_path: Path, cluster: dict[str, str]) -> None:
    """Open runs are replayed against the code in the current folder; the diff names what was renamed."""
    orchestrator, run_id = CommandLine(tmp_path, cluster), f"crawl-{uuid.uuid4()}"
    check = ("runs", "check", "--module", "my_flows")
    (tmp_path / "my_flows.py").write_text(FLOW)
    (tmp_path / "begin.py").write_text(BEGIN)
    none = orchestrator(*check)
    assert (none.returncode, none.stderr) == (ExitCode.OK, "There are no open runs.\n")
    address, queue = (cluster[f"ORCHESTRATOR_TEMPORAL_{name}"] for name in ("HOST_PORT", "TASK_QUEUE"))
    with orchestrator.program(sys.executable, "begin.py", address, queue, run_id) as begun:
        assert begun.stdout is not None
        assert begun.stdout.readline() == "waiting\n"
        done = orchestrator(*check)
        assert (done.returncode, done.stdout) == (ExitCode.OK, "")
        assert "1 open run checked: all fit the code." in done.stderr

        (tmp_path / "my_flows.py").write_text(FLOW.replace("summarise", "translate_page"))
        done = orchestrator(*check)
        assert done.returncode == ExitCode.MISFIT
        assert f"{run_id}  crawl  " in done.stdout
        assert "      1:fetch_page\n    - 2:summarise\n    + 2:translate_page\n" in done.stdout
        assert "1 open run checked: 1 would be stuck with this code." in done.stderr
        for_scripts = orchestrator(*check, "--json")
        assert for_scripts.returncode == ExitCode.MISFIT
        line = json.loads(for_scripts.stdout)
        assert (line["run_id"], line["fits"], line["expected"]) == (run_id, False, "2:summarise")
    not_mine = orchestrator("runs", "check")
    assert not_mine.returncode == ExitCode.MISFIT
    assert "no workflow 'crawl' was given to this engine (it has: day, lesson, " in not_mine.stdout

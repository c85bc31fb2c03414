"""`orchestrator schedules`: reading the journal, and telling the service that runs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, EmbeddedEngine, workflow
from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.data_dir import JOURNAL_FILE
from orchestrator.features.lessons.lesson import LessonRequest
from orchestrator.features.lessons.workflow import lesson
from support.command import CommandLine
from support.services import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.acceptance


@workflow
async def forgotten(ctx: Context) -> None:
    """What the service does not have."""


async def make_schedules(data_dir: Path) -> None:
    """One that the service can serve, and one whose workflow it does not have."""
    data_dir.mkdir(mode=0o700)
    async with EmbeddedEngine(data_dir / JOURNAL_FILE, workflows=[lesson, forgotten]) as engine:
        request = LessonRequest(session_id="none", owner="", topic="Tides")
        await engine.schedule(lesson, request, id="leap-lesson", cron="0 9 29 2 *", zone="Europe/Berlin")
        await engine.schedule(forgotten, id="old", cron="@yearly")


@pytest.fixture
def scheduled(tmp_path: Path) -> Iterator[tuple[ServiceProcess, CommandLine]]:
    """A service with these schedules, and the command beside it."""
    asyncio.run(make_schedules(tmp_path / "data"))
    with ServiceProcess(tmp_path) as service:
        yield service, CommandLine(tmp_path, {"ORCHESTRATOR_DATA_DIR": str(service.data_dir), "TZ": "UTC"})


def test_schedules_are_listed_told_and_started(scheduled: tuple[ServiceProcess, CommandLine]) -> None:
    """For people and scripts; what is told holds through a kill, and without a service nothing is told."""
    service, command = scheduled

    listed = [json.loads(line) for line in command("schedules", "list", "--json").stdout.splitlines()]
    # The last one is the service's own.
    assert [one["id"] for one in listed] == ["leap-lesson", "old", "prepare-days"]
    assert [one["status"] for one in listed] == ["active", "stuck", "active"]
    assert listed[0]["next_at"].endswith("-02-29T08:00:00Z")
    shown = command("schedules", "list")
    row = next(line for line in shown.stdout.splitlines() if line.startswith("leap-lesson"))
    for cell in ("lesson", "0 9 29 2 *", "Europe/Berlin", "active", "-02-29 08:00:00"):
        assert cell in row
    assert "old is stuck: no workflow 'forgotten' was given to this engine" in shown.stderr
    assert "No service runs" not in shown.stderr

    assert command("schedules", "pause", "leap-lesson").stdout == "Schedule leap-lesson is paused.\n"
    service.restart()
    first = json.loads(command("schedules", "list", "--json").stdout.splitlines()[0])
    assert (first["status"], first["next_at"]) == ("paused", None)
    resumed = command("schedules", "resume", "leap-lesson").stdout
    assert resumed.startswith("Schedule leap-lesson is active; its next run starts at 20")
    assert json.loads(command("schedules", "pause", "leap-lesson", "--json").stdout)["status"] == "paused"

    run = command("schedules", "run-now", "leap-lesson").stdout.strip()
    begun = json.loads(command("runs", "list", "--workflow", "lesson", "--json").stdout)
    assert (begun["id"], begun["workflow"]) == (run, "lesson")
    assert begun["tags"] == {"schedule": "leap-lesson"}
    first = json.loads(command("schedules", "list", "--json").stdout.splitlines()[0])
    assert first["last_run"] == run

    unknown = command("schedules", "pause", "none")
    assert unknown.returncode == ExitCode.NOT_FOUND
    assert "there is no schedule 'none'" in unknown.stderr
    stranded = command("schedules", "run-now", "old")
    assert stranded.returncode == ExitCode.FAILED
    assert "no workflow 'forgotten'" in stranded.stderr

    service.kill()
    for verb in ("pause", "resume", "run-now"):
        untold = command("schedules", verb, "leap-lesson")
        assert untold.returncode == ExitCode.UNAVAILABLE
        assert "No service runs on" in untold.stderr
    assert "No service runs now: nothing is started until one is." in command("schedules", "list").stderr


def test_no_schedules_yet_is_no_error(orchestrator: CommandLine) -> None:
    """An empty list for a script, a sentence for people, and no data directory made by looking."""
    done = orchestrator("schedules", "list", "--json")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "")
    assert "No schedules yet" in done.stderr
    assert not orchestrator.data_dir.exists()
    assert orchestrator("schedules", "pause", "any").returncode == ExitCode.UNAVAILABLE


def test_a_narrow_terminal_keeps_ids_whole(scheduled: tuple[ServiceProcess, CommandLine]) -> None:
    """Columns give way, the last ones to do so are those that say when and what."""
    _, command = scheduled
    command.environment["COLUMNS"] = "48"
    lines = command("schedules", "list").stdout.splitlines()
    assert lines[0].split() == ["Schedule", "Status", "Next"]
    assert lines[1].split()[:2] == ["leap-lesson", "active"]
    assert all(len(line) <= 48 for line in lines)

"""`orchestrator runs sweep`: real processes, beside a service that runs and after it was killed."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.sweep_view import remarks, table_of_still
from orchestrator.app.cli.times import seconds_of, span
from orchestrator.durable.embedded import Still, Sweep, Why

if TYPE_CHECKING:
    from rich.console import Console

    from support.command import CommandLine

WORKFLOWS = """
from orchestrator import Context, workflow

@workflow
async def approval(ctx: Context) -> str:
    return await ctx.receive("approve", str)
"""
PROGRAM = """
import asyncio
from orchestrator import EmbeddedEngine
from my_flows import approval

async def main():
    async with EmbeddedEngine("runs.db", workflows=[approval]) as engine:
        for number in range(2):
            await engine.start(approval, id=f"approval-{number}")
        print("waiting", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.acceptance
def test_what_does_not_move_is_shown_beside_its_service_and_without(orchestrator: CommandLine) -> None:
    """With the code it says which signal is missing; once the process is killed, that is said first."""
    (orchestrator.folder / "my_flows.py").write_text(WORKFLOWS)
    (orchestrator.folder / "main.py").write_text(PROGRAM)
    of_code = ("--module", "my_flows", "--journal", "runs.db")
    with orchestrator.program(sys.executable, "main.py") as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "waiting\n"
        quiet = orchestrator("runs", "sweep", *of_code)
        assert (quiet.returncode, quiet.stdout) == (ExitCode.OK, "")
        assert "Everything moves: 2 open runs." in quiet.stderr
        shown = orchestrator("runs", "sweep", "--older-than", "0s", *of_code).stdout
        assert "approval-1  approval" in shown
        assert "waits for the signal 'approve', with no deadline" in shown
        engine.kill()
        engine.wait()
    done = orchestrator("runs", "sweep", *of_code)
    assert "No service runs on" in done.stderr
    lines = orchestrator("runs", "sweep", "--older-than", "0s", "--journal", "runs.db", "--json").stdout
    found = [json.loads(line) for line in lines.splitlines()]
    assert {(line["kind"], line["why"]) for line in found} == {("journal", "no-service"), ("run", "waiting")}


@pytest.mark.acceptance
def test_the_service_itself_can_be_swept(orchestrator: CommandLine) -> None:
    """With its own code, and nothing to complain of."""
    assert orchestrator("lesson", "Tides").returncode == ExitCode.OK
    done = orchestrator("runs", "sweep")
    assert (done.returncode, done.stdout) == (ExitCode.OK, "")
    assert "There are no open runs." in done.stderr


def test_the_documentation_explains_every_reason() -> None:
    """docs/cli.md cannot fall behind."""
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    assert re.findall(r"^\| `([a-z][a-z-]*)` \| .+ \|$", text, re.MULTILINE) == [why.value for why in Why]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("2d", 172_800), ("1h30m", 5_400)]
)
def test_times_are_written_as_people_write_them(text: str, seconds: float) -> None:
    """One or several numbers with their units."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "1 h", "-1h", "1w", "soon", "1h 30m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Rather than taken for something else."""
    with pytest.raises(ValueError, match="is no time such as"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (40, "40 s"), (300, "5 min"), (7_500, "2 h 5 min"), (7_200, "2 h"), (273_600, "3 d 4 h")],
)
def test_spans_are_told_roughly(seconds: float, text: str) -> None:
    """In the two largest units that count."""
    assert span(seconds) == text


def test_each_is_shown_with_its_reason(console: Console) -> None:
    """Id, workflow, for how long, and below it the detail; what is left out is counted."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    still = (
        Still(
            "run", "a", Why.SIGNAL, now - timedelta(hours=3), "waits for the signal 'x'", "flow", "waiting"
        ),
        Still("schedule", "b", Why.PAUSED, now - timedelta(days=2), "paused", "flow"),
    )
    console.print(table_of_still(still, now))
    shown = console.export_text().splitlines()
    assert [line.split() for line in shown if line.strip()] == [
        ["Still", "for", "Why", "What"],
        ["3", "h", "signal", "a", "flow"],
        ["waits", "for", "the", "signal", "'x'"],
        ["2", "d", "paused", "schedule", "b", "flow"],
        ["paused"],
    ]
    assert remarks(Sweep(still, 5, 9)) == ["3 more do not move; --limit shows more of them."]


@pytest.fixture
def console() -> Console:
    """A console that remembers."""
    from rich.console import Console

    return Console(record=True, width=100)

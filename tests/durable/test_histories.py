"""Histories that were recorded by earlier code: today's code replays them, and their runs go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from orchestrator import Context, EmbeddedEngine, workflow
from orchestrator.durable.embedded.check import check_runs
from orchestrator.durable.runs import Status
from orchestrator.journal import Journal
from orchestrator.testing import ManualClock
from support import recorded_flows
from support.quiet import settle
from support.recorded_flows import FLOWS, RUNS, STEPS, look_up

HISTORIES = Path(__file__).parent / "histories"
JOURNALS = sorted(HISTORIES.glob("embedded-*.sql"))


@pytest.fixture(params=JOURNALS, ids=lambda file: file.stem)
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A journal as the code of that time left it."""
    path = tmp_path / "runs.db"
    connection = sqlite3.connect(path)
    connection.executescript(request.param.read_text())
    connection.close()
    return path


async def test_open_runs_of_an_old_journal_go_on(journal: Path) -> None:
    """Each gives what it would have given then, and does again nothing that it had done."""
    recorded_flows.calls.clear()
    clock = ManualClock()
    async with EmbeddedEngine(journal, workflows=FLOWS, steps=STEPS, clock=clock) as engine:
        await settle(engine)
        assert recorded_flows.calls == []
        for started in RUNS:
            waiting = await engine.get(started.waits or started.id)
            await waiting.signal("go", "now")
        assert {started.id: await (await engine.get(started.id)).result() for started in RUNS} == {
            started.id: started.gives for started in RUNS
        }
    assert sorted(recorded_flows.calls) == sorted(call for started in RUNS for call in started.calls)


async def test_an_old_journal_is_said_to_fit(journal: Path) -> None:
    """The check before a deploy says so of every open run, once the file is of today's version."""
    await Journal(journal).close()
    found = list(check_runs(journal, FLOWS, STEPS))
    assert {started.id for started in RUNS} <= {run.run_id for run in found}
    assert [(run.run_id, run.reason) for run in found if not run.fits] == []


async def test_a_history_that_no_longer_fits_is_seen(journal: Path) -> None:
    """What these tests rest on: other code makes the recorded runs stuck."""

    @workflow(name="rounds")
    async def changed(ctx: Context, turn: recorded_flows.Turn) -> str:
        await ctx.sleep(1)
        return await ctx.run(look_up, f"round {turn.number}")

    others = [flow for flow in FLOWS if flow.name != "rounds"]
    clock = ManualClock()
    async with EmbeddedEngine(journal, workflows=[*others, changed], steps=STEPS, clock=clock) as engine:
        await settle(engine)
        assert (await (await engine.get("rounds")).describe()).status is Status.STUCK

"""Histories that were recorded by earlier code: today's code replays them, and their runs go on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from orchestrator import Context, EmbeddedEngine, workflow
from orchestrator.durable.embedded.check import check_runs
from orchestrator.durable.runs import Status
from orchestrator.durable.temporal.workflow_type import workflow_type
from orchestrator.journal import Journal
from orchestrator.testing import ManualClock
from support import recorded_flows
from support.quiet import settle
from support.recorded_flows import FLOWS, RUNS, STEPS, look_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.durable.workflows import Workflow

HISTORIES = Path(__file__).parent / "histories"
JOURNALS = sorted(HISTORIES.glob("embedded-*.sql"))
OF_TEMPORAL = sorted(HISTORIES.glob("temporal-*/*.json"))


@workflow(name="rounds")
async def changed(ctx: Context, turn: recorded_flows.Turn) -> str:
    """Another code than what was recorded."""
    await ctx.sleep(1)
    return await ctx.run(look_up, f"round {turn.number}")


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
    others = [flow for flow in FLOWS if flow.name != "rounds"]
    clock = ManualClock()
    async with EmbeddedEngine(journal, workflows=[*others, changed], steps=STEPS, clock=clock) as engine:
        await settle(engine)
        assert (await (await engine.get("rounds")).describe()).status is Status.STUCK


@pytest.mark.parametrize("file", OF_TEMPORAL, ids=lambda file: f"{file.parent.name}-{file.stem}")
async def test_an_old_history_of_temporal_fits(file: Path) -> None:
    """Today's code asks for what was recorded, in its order."""
    assert await _replay(file, FLOWS) is None


async def test_a_history_of_temporal_that_no_longer_fits_is_seen() -> None:
    """What these tests rest on, there too."""
    (file,) = (file for file in OF_TEMPORAL if file.stem == "rounds" and file.parent.name == "temporal-1")
    assert await _replay(file, [changed]) is not None


def test_both_engines_are_recorded_each_time() -> None:
    """A record of one engine alone is half a record."""
    assert {file.parent.name.partition("-")[2] for file in OF_TEMPORAL} == {
        file.stem.partition("-")[2] for file in JOURNALS
    }


async def _replay(file: Path, flows: Sequence[Workflow[Any, Any]]) -> Exception | None:
    """What goes wrong when the code of ``flows`` goes through the history in ``file``."""
    replayer = Replayer(
        workflows=[workflow_type(flow) for flow in flows], workflow_runner=UnsandboxedWorkflowRunner()
    )
    history = WorkflowHistory.from_json(file.stem, file.read_text())
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    return result.replay_failure

"""What does not move, and why: found in the file alone, with the code at hand and without it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, EmbeddedEngine, Retry, step, workflow
from orchestrator.core.clock import utc
from orchestrator.core.errors import RetryableError
from orchestrator.durable.embedded import Still, Sweep, Why, sweep_runs
from orchestrator.durable.limits import Limit
from orchestrator.testing import ManualClock
from support.quiet import settle

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0
HOUR_S = 3_600.0


@step(timeout=7_200, retry=Retry(attempts=3, backoff=(1.0,)))
async def hang() -> None:
    """Never end."""
    await asyncio.Event().wait()


@step(retry=Retry(attempts=5, backoff=(2 * DAY_S,)))
async def busy() -> None:
    """Be busy for days."""
    raise RetryableError("the provider is overloaded")


@workflow
async def approval(ctx: Context) -> Any:  # noqa: ANN401
    """Wait for people."""
    return await ctx.receive("approve")


@workflow
async def patient(ctx: Context) -> Any:  # noqa: ANN401
    """Wait for people, but not for ever."""
    return await ctx.receive("approve", timeout=30 * DAY_S)


@workflow
async def sleeper(ctx: Context) -> None:
    """Sleep for long."""
    await ctx.sleep(30 * DAY_S)


@workflow
async def worker(ctx: Context) -> None:
    """Work for ever."""
    await ctx.run(hang)


@workflow
async def retrying(ctx: Context) -> None:
    """Try again and again."""
    await ctx.run(busy)


@workflow
async def parent(ctx: Context) -> None:
    """Wait for a child."""
    await ctx.child(approval, id="the-child")


FLOWS = (approval, patient, sleeper, worker, retrying, parent)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


async def left(
    path: Path,
    clock: ManualClock,
    *flows: Any,  # noqa: ANN401  # workflows
    most: int = 10_000,
    passing_s: float = 5 * HOUR_S,
) -> None:
    """A journal in which these have run for a while, and which nobody has open."""
    engine = EmbeddedEngine(path, workflows=FLOWS, steps=[hang, busy], clock=clock, most_runs_in_memory=most)
    async with engine:
        for flow in flows:
            await engine.start(flow, id=flow.name)
        await settle(engine, lambda: 1)
        clock.jump(passing_s)
        await settle(engine, lambda: 1)


def runs(found: Sweep) -> dict[str, Still]:
    """What was found of runs, by their ids."""
    return {still.id: still for still in found.still if still.kind == "run"}


@pytest.mark.parametrize("most", [0, 10_000])
async def test_each_run_says_for_what_it_waits(path: Path, most: int) -> None:
    """In memory and out of it: signals, retries, steps, children; sleepers are left out."""
    clock = ManualClock()
    await left(path, clock, *FLOWS, most=most)
    found = sweep_runs(path, FLOWS, clock=clock)
    by_id = runs(found)
    assert {run_id: still.why for run_id, still in by_id.items()} == {
        "approval": Why.SIGNAL,
        "the-child": Why.SIGNAL,
        "worker": Why.STEP,
        "retrying": Why.RETRY,
        "parent": Why.CHILD,
    }
    assert by_id["approval"].detail == "waits for the signal 'approve', with no deadline"
    assert by_id["worker"].detail == (
        "1:hang: attempt 1 of 3 ran when the service ended, since 2026-01-01T00:00:00Z, which may take 7200 s"
    )
    assert by_id["retrying"].detail == (
        "1:busy: attempt 2 of 5 is due 2026-01-03T00:00:00Z after RetryableError: the provider is overloaded"
    )
    assert by_id["parent"].detail == "waits for its child the-child"
    assert found.open_runs == len(FLOWS) + 1
    assert all(still.since == utc(clock.now - 5 * HOUR_S) for still in by_id.values())


async def test_without_its_code_a_run_says_what_its_history_tells(path: Path) -> None:
    """A step and its last error are recorded; for which signal it waits is not."""
    clock = ManualClock()
    await left(path, clock, approval, worker, retrying, parent)
    by_id = runs(sweep_runs(path, clock=clock))
    assert {run_id: still.why for run_id, still in by_id.items()} == {
        "approval": Why.WAITING,
        "the-child": Why.WAITING,
        "worker": Why.STEP,
        "retrying": Why.RETRY,
        "parent": Why.CHILD,
    }
    assert "attempt 2 is due" in by_id["retrying"].detail


async def test_only_what_has_not_moved_for_long_is_named(path: Path) -> None:
    """The longest still first; how long is up to who asks."""
    clock = ManualClock()
    async with EmbeddedEngine(path, workflows=FLOWS, clock=clock) as engine:
        for number in range(4):
            await engine.start(approval, id=f"{number}")
            await settle(engine)
            clock.jump(HOUR_S)
        assert list(runs(sweep_runs(path, FLOWS, clock=clock))) == ["0", "1", "2", "3"]
        old = sweep_runs(path, FLOWS, clock=clock, older_than=timedelta(hours=2.5))
        assert list(runs(old)) == ["0", "1"]
        assert old.open_runs == 4
        few = sweep_runs(path, FLOWS, clock=clock, limit=3)
        assert list(runs(few)) == ["0", "1", "2"]
        assert few.total == 4


@pytest.mark.parametrize("most", [0, 10_000])
async def test_of_very_many_the_longest_still_are_named(path: Path, most: int) -> None:
    """All are counted."""
    clock = ManualClock()
    async with EmbeddedEngine(path, workflows=FLOWS, clock=clock, most_runs_in_memory=most) as engine:
        for number in range(300):
            await engine.start(approval, id=f"{number:03}")
            clock.jump(1)
        await settle(engine)
        clock.jump(HOUR_S)
        found = sweep_runs(path, FLOWS, clock=clock, limit=5)
        assert list(runs(found)) == ["000", "001", "002", "003", "004"]
        assert found.total == 300


async def test_what_is_stuck_or_without_code_is_named_at_once(path: Path) -> None:
    """After a deploy nobody waits for an hour to hear of it."""
    clock = ManualClock()
    await left(path, clock, approval, worker, passing_s=0)

    @workflow(name="worker")
    async def other(ctx: Context) -> None:
        await ctx.sleep(1)

    by_id = runs(sweep_runs(path, [other], clock=clock))
    assert by_id["approval"].why is Why.NO_WORKFLOW
    assert "worker" not in by_id
    later = ManualClock(clock.now + 2 * HOUR_S)
    would = runs(sweep_runs(path, [other], clock=later))["worker"]
    assert (would.why, would.status) == (Why.STUCK, "running")
    assert would.detail.startswith("would be stuck with this code: the history has operation 1:hang")
    async with EmbeddedEngine(path, workflows=[approval, other], clock=clock) as engine:
        await settle(engine)
        stuck = runs(sweep_runs(path, [other, approval], clock=clock))["worker"]
        assert (stuck.why, stuck.status) == (Why.STUCK, "stuck")
        assert stuck.detail == (await (await engine.get("worker")).describe()).reason


async def test_paused_and_pending_runs_are_named(path: Path) -> None:
    """With what they wait for, also what they were at."""

    @workflow(limits=[Limit(1)])
    async def one(ctx: Context) -> None:
        await ctx.receive("go")

    clock = ManualClock()
    async with EmbeddedEngine(path, workflows=[one, *FLOWS], clock=clock) as engine:
        for name in ("first", "second"):
            await engine.start(one, id=name)
        run = await engine.start(approval, id="held")
        await run.pause()
        await settle(engine)
        clock.jump(2 * HOUR_S)
        by_id = runs(sweep_runs(path, [one, *FLOWS], clock=clock))
        assert {run_id: still.why for run_id, still in by_id.items()} == {
            "first": Why.SIGNAL,
            "second": Why.LIMIT,
            "held": Why.PAUSED,
        }
        assert by_id["second"].detail == "waits for a place in limit 'one'"


async def test_a_sleeper_whose_time_is_over_is_overdue(path: Path) -> None:
    """As no service runs, nobody wakes it; the journal itself is named for that."""
    clock = ManualClock()
    await left(path, clock, sleeper, most=0)
    quiet = sweep_runs(path, FLOWS, clock=clock)
    assert [(still.kind, still.why) for still in quiet.still] == [("journal", Why.NO_SERVICE)]
    assert quiet.still[0].detail == "it has 1 open run, and no process is at work on it"
    clock.jump(40 * DAY_S)
    by_id = runs(sweep_runs(path, FLOWS, clock=clock))
    assert by_id["sleeper"].why is Why.OVERDUE
    assert by_id["sleeper"].detail == "was due 2026-01-31T00:00:00Z"


async def test_while_a_service_runs_the_journal_is_not_named(path: Path) -> None:
    """And a step runs rather than having run."""
    clock = ManualClock()
    async with EmbeddedEngine(path, workflows=FLOWS, steps=[hang], clock=clock) as engine:
        await engine.start(worker, id="worker")
        await settle(engine, lambda: 1)
        clock.jump(2 * HOUR_S)
        found = sweep_runs(path, FLOWS, clock=clock)
        assert [still.kind for still in found.still] == ["run"]
        assert "attempt 1 of 3 runs since" in found.still[0].detail


async def test_schedules_that_start_nothing_are_named(path: Path) -> None:
    """Paused ones, those without their workflow, and those that are overdue."""
    clock = ManualClock()
    async with EmbeddedEngine(path, workflows=FLOWS, clock=clock) as engine:
        for name, flow in (("paused", sleeper), ("without", approval), ("due", sleeper)):
            await engine.schedule(flow, id=name, cron="0 12 * * *")
        await (await engine.get_schedule("paused")).pause()
    clock.jump(DAY_S)
    found = sweep_runs(path, [sleeper], clock=clock)
    assert {still.id: still.why for still in found.still if still.kind == "schedule"} == {
        "paused": Why.PAUSED,
        "without": Why.NO_WORKFLOW,
        "due": Why.OVERDUE,
    }


async def test_code_that_spins_does_not_hang_the_sweep(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named as stuck, and the others are told of."""
    clock = ManualClock()
    await left(path, clock, approval, worker)
    monkeypatch.setattr("orchestrator.durable.embedded.sweep.LIMIT_S", 0.2)

    @workflow(name="worker")
    async def spinning(_: Context) -> None:
        while True:
            pass

    by_id = runs(sweep_runs(path, [approval, spinning], clock=clock))
    assert by_id["worker"].why is Why.STUCK
    assert by_id["approval"].why is Why.SIGNAL


async def test_an_empty_journal_has_nothing(path: Path) -> None:
    """No runs, no complaints, also without a service."""
    async with EmbeddedEngine(path):
        pass
    assert sweep_runs(path, FLOWS) == Sweep((), 0, 0)

"""Runs that wait outside of memory: they cost a row, and come back when their time or a signal has come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator import Context, EmbeddedEngine, Retry, step, workflow
from orchestrator.core.errors import RetryableError
from orchestrator.durable.embedded.parking import WAKE_PAGE
from orchestrator.durable.runs import EventType, Status
from orchestrator.testing import ManualClock
from support.contract_lab import Gates, all_events
from support.quiet import settle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

noted: list[str] = []


@step
async def note(text: str) -> str:
    """Say what was noted."""
    noted.append(text)
    return text


@step(retry=Retry(attempts=3, backoff=(DAY_S,)))
async def busy(text: str) -> str:
    """Be busy twice."""
    noted.append(text)
    if noted.count(text) < 3:
        raise RetryableError("busy")
    return text


@workflow
async def nap(ctx: Context, name: str) -> str:
    """Note, sleep for a day, note again."""
    await ctx.run(note, f"{name} before")
    await ctx.sleep(DAY_S)
    return await ctx.run(note, f"{name} after")


@workflow
async def ask(ctx: Context, name: str) -> str:
    """Wait for an answer, at most for a week."""
    return f"{name}: {await ctx.receive('answer', str, timeout=7 * DAY_S)}"


@workflow
async def insist(ctx: Context, name: str) -> str:
    """Run a step that is retried day after day."""
    return await ctx.run(busy, name)


def engine_on(path: Path, clock: ManualClock, most: int = 0) -> EmbeddedEngine:
    """An engine that keeps so many waiting runs in memory."""
    return EmbeddedEngine(
        path, workflows=[nap, ask, insist], steps=[note, busy], clock=clock, most_runs_in_memory=most
    )


def in_memory(engine: EmbeddedEngine) -> int:
    """How many runs have a place in memory."""
    assert engine._runs is not None
    return len(engine._runs._in_memory)


async def test_those_that_wait_longest_leave_memory_first(tmp_path: Path) -> None:
    """Beyond the set number waiting runs leave memory in the order in which they began to wait."""
    async with engine_on(tmp_path / "runs.db", ManualClock(), most=3) as engine:
        for number in range(10):
            await engine.start(ask, f"{number}", id=f"run-{number}")
            await settle(engine)
        assert in_memory(engine) == 3
        assert engine._runs is not None
        assert set(engine._runs._in_memory) == {"run-7", "run-8", "run-9"}
        assert engine.active == 10
        assert {info.status for info in await engine.list(status=[Status.WAITING])} == {Status.WAITING}


async def test_a_run_outside_of_memory_keeps_its_deadline(tmp_path: Path) -> None:
    """A sleeper that left memory wakes at the time it had from the beginning, also after a restart."""
    noted.clear()
    clock = ManualClock()
    path = tmp_path / "runs.db"
    async with engine_on(path, clock) as engine:
        await engine.start(nap, "a", id="a")
        await settle(engine)
        clock.jump(DAY_S / 2)
        await settle(engine)
        assert in_memory(engine) == 0
    async with engine_on(path, clock) as engine:
        run = await engine.get("a")
        clock.jump(DAY_S / 2 - 1)
        await settle(engine)
        assert noted == ["a before"]
        clock.jump(1)
        async with asyncio.timeout(30):
            assert await run.result() == "a after"
    assert noted == ["a before", "a after"]


async def test_what_was_due_while_nobody_ran_happens_at_the_opening(tmp_path: Path) -> None:
    """Deadlines that passed between two processes are kept by the second one."""
    noted.clear()
    clock = ManualClock()
    path = tmp_path / "runs.db"
    async with engine_on(path, clock) as engine:
        for number in range(250):
            await engine.start(nap, f"{number}", id=f"{number}")
        await settle(engine)
        assert in_memory(engine) == 0
    clock.now += 2 * DAY_S
    async with engine_on(path, clock) as engine, asyncio.timeout(60):
        for number in range(250):
            assert await (await engine.get(f"{number}")).result() == f"{number} after"
        assert engine.active == 0
    assert len(noted) == 500


async def test_a_signal_brings_a_run_back(tmp_path: Path) -> None:
    """Who signals a run need not know whether it is in memory; those who wait for its result neither."""
    async with engine_on(tmp_path / "runs.db", ManualClock()) as engine:
        run = await engine.start(ask, "a")
        await settle(engine)
        assert in_memory(engine) == 0
        result = asyncio.ensure_future(run.result())
        await asyncio.sleep(0)
        await run.signal("answer", "yes")
        assert await result == "a: yes"


async def test_a_cancel_brings_a_run_back(tmp_path: Path) -> None:
    """A run outside of memory can be cancelled like any other."""
    async with engine_on(tmp_path / "runs.db", ManualClock()) as engine:
        run = await engine.start(ask, "a")
        await settle(engine)
        await run.cancel()
        assert [event.type for event in await all_events(run)][-1] is EventType.RUN_CANCELLED
        assert (await run.describe()).status is Status.CANCELLED


async def test_a_long_back_off_needs_no_memory(tmp_path: Path) -> None:
    """A run whose steps only wait for their next attempt leaves memory too."""
    noted.clear()
    clock = ManualClock()
    async with engine_on(tmp_path / "runs.db", clock) as engine:
        run = await engine.start(insist, "b")
        await settle(engine)
        for _ in range(2):
            assert in_memory(engine) == 0
            clock.jump(DAY_S)
            await settle(engine)
        assert await run.result() == "b"
        assert noted == ["b", "b", "b"]


async def test_a_run_that_moves_while_it_leaves_stays(tmp_path: Path) -> None:
    """A signal that comes between a run's leave and its commit finds it awake."""
    noted.clear()
    async with engine_on(tmp_path / "runs.db", ManualClock()) as engine:
        runs = [await engine.start(ask, f"{number}") for number in range(200)]
        # Some of them are on their way out of memory, some out, some still in.
        await asyncio.gather(*[run.signal("answer", "now") for run in runs])
        assert await _results(engine, [run.id for run in runs]) == [f"{number}: now" for number in range(200)]


async def test_those_that_are_due_come_back_once_others_wait(tmp_path: Path) -> None:
    """Where memory is full of busy runs the due ones wait outside, until those in memory wait themselves."""
    noted.clear()
    clock, gates = ManualClock(), Gates()

    @workflow
    async def busy_then_idle(ctx: Context) -> None:
        await ctx.run(Gates.wait, "gate")
        await ctx.receive("never")

    engine = EmbeddedEngine(
        tmp_path / "runs.db",
        workflows=[nap, busy_then_idle],
        steps=[note, busy, gates],
        clock=clock,
        most_runs_in_memory=WAKE_PAGE,
    )
    async with engine, asyncio.timeout(60):
        sleepers = [await engine.start(nap, f"{number}") for number in range(20)]
        for _ in range(WAKE_PAGE):
            await engine.start(busy_then_idle)
        await gates.reached("gate")
        last = await engine.start(nap, "last")  # its rest is what makes the others leave
        async for event in last.events():
            if event.type is EventType.STEP_COMPLETED:
                break
        await last.cancel()
        clock.jump(DAY_S)
        gates.open("gate")
        for number, sleeper in enumerate(sleepers):
            assert await sleeper.result() == f"{number} after"


async def _results(engine: EmbeddedEngine, ids: Sequence[str]) -> list[str]:
    return [await (await engine.get(id)).result() for id in ids]  # noqa: A001  # the word of the port

"""Leaving memory at the worst moments: while a run ends, moves, is paused, or waits for a child."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, EmbeddedEngine, Retry, step, workflow
from orchestrator.core.errors import RetryableError
from orchestrator.durable.runs import Status
from orchestrator.testing import ManualClock
from support.contract_lab import Gates
from support.dam import Dam
from support.quiet import settle

if TYPE_CHECKING:
    from pathlib import Path

HOUR_S = 3600.0


@workflow
async def ask(ctx: Context, answers: int) -> str:
    """Wait for so many answers."""
    return "".join([await ctx.receive("answer", str) for _ in range(answers)])


@workflow
async def work(ctx: Context) -> None:
    """Run a step that waits, then wait for ever."""
    await ctx.run(Gates.wait, "gate")
    await ctx.receive("never")


@workflow
async def nap(ctx: Context) -> str:
    """Sleep for an hour."""
    await ctx.sleep(HOUR_S)
    return "woke"


@workflow
async def parent(ctx: Context) -> str:
    """Have a child of a child ask."""
    return await ctx.child(middle, id="middle")


@workflow
async def middle(ctx: Context) -> str:
    """Have a child ask."""
    return await ctx.child(ask, 1, id="child")


@pytest.fixture
def gates() -> Gates:
    """Steps that the test can hold and let go."""
    return Gates()


def in_memory(engine: EmbeddedEngine) -> set[str]:
    """The runs that have a place in memory."""
    assert engine._runs is not None
    return set(engine._runs._in_memory)


async def test_a_run_that_ends_does_not_leave_as_one_that_waits(tmp_path: Path) -> None:
    """Room that is made while a run's end is on its way to the disk leaves the run ended."""
    dam = Dam()
    async with EmbeddedEngine(
        tmp_path / "runs.db", workflows=[ask], fault=dam, most_runs_in_memory=1
    ) as engine:
        run = await engine.start(ask, 1, id="a")
        await settle(engine)
        dam.close()
        ending = asyncio.ensure_future(run.signal("answer", "yes"))
        await dam.held()
        other = asyncio.ensure_future(engine.start(ask, 1))
        await dam.next()
        dam.open()
        await asyncio.gather(ending, other)
        await settle(engine)
        assert (await run.describe()).status is Status.COMPLETED
        assert await run.result() == "yes"


async def test_a_run_that_moves_and_waits_again_leaves_with_all_it_recorded(
    tmp_path: Path, gates: Gates
) -> None:
    """A run on its way out that moves, and is on its way out again, is there until that is durable."""
    dam = Dam()
    async with EmbeddedEngine(
        tmp_path / "runs.db", workflows=[ask, work], steps=[gates], fault=dam, most_runs_in_memory=0
    ) as engine:
        await engine.start(work)
        await gates.reached("gate")
        dam.close()
        starting = asyncio.ensure_future(engine.start(ask, 3, id="a"))
        await dam.held()
        await dam.next()  # the run waits, and this commit is to let it go
        run = await engine.get("a")
        first = asyncio.ensure_future(run.signal("answer", "1"))
        await dam.next()
        assert in_memory(engine) >= {"a"}
        second = asyncio.ensure_future(run.signal("answer", "2"))
        await dam.next()
        dam.open()
        await asyncio.gather(starting, first, second)
        await run.signal("answer", "3")
        assert await run.result() == "123"


async def test_those_that_are_due_come_back_when_others_begin_to_wait(tmp_path: Path, gates: Gates) -> None:
    """Runs that found no room when their time had come do not wait for others to end."""
    clock = ManualClock()
    async with EmbeddedEngine(
        tmp_path / "runs.db",
        workflows=[ask, work, nap],
        steps=[gates],
        clock=clock,
        most_runs_in_memory=100,
    ) as engine:
        sleeping = await engine.start(nap)
        await settle(engine)
        asking = [await engine.start(ask, 1) for _ in range(100)]
        await settle(engine)
        assert sleeping.id not in in_memory(engine)
        await asyncio.gather(*[run.cancel() for run in asking])
        working = [await engine.start(work) for _ in range(100)]
        await settle(engine, lambda: len(working))
        clock.jump(HOUR_S)
        await settle(engine, lambda: len(working))
        gates.open("gate")
        assert await asyncio.wait_for(sleeping.result(), 30) == "woke"


async def test_a_pause_leaves_a_step_that_backs_off_its_attempts(tmp_path: Path) -> None:
    """The step of a paused run outside of memory has its next attempt when it is due; nothing spins."""
    clock = ManualClock()
    flaky = Flaky()
    async with EmbeddedEngine(
        tmp_path / "runs.db", workflows=[insist], steps=[flaky], clock=clock, most_runs_in_memory=0
    ) as engine:
        run = await engine.start(insist)
        await settle(engine)
        await run.pause()
        await run.signal("leave memory")
        await settle(engine)
        assert in_memory(engine) == set()
        clock.jump(HOUR_S)
        await asyncio.wait_for(settle(engine), 30)
        assert flaky.attempts == 2
        assert (await run.describe()).status is Status.PAUSED
        await run.resume()
        await settle(engine)
        clock.jump(HOUR_S)
        assert await run.result() == "done"
        assert flaky.attempts == 4


async def test_parents_leave_memory_while_their_children_go_on(tmp_path: Path) -> None:
    """A run that waits for a child needs no place, nor does that child; the child's end reaches both."""
    async with EmbeddedEngine(
        tmp_path / "runs.db", workflows=[parent, middle, ask], most_runs_in_memory=0
    ) as engine:
        run = await engine.start(parent)
        await settle(engine)
        assert in_memory(engine) == set()
        await (await engine.get("child")).signal("answer", "yes")
        assert await run.result() == "yes"


class Flaky:
    """A step whose odd attempts fail."""

    def __init__(self) -> None:
        self.attempts = 0

    @step(retry=Retry(attempts=2, backoff=(HOUR_S,)))
    async def call(self) -> None:
        """Count, and fail at first."""
        self.attempts += 1
        if self.attempts % 2:
            raise RetryableError("busy")


@workflow
async def insist(ctx: Context) -> str:
    """Call twice."""
    await ctx.run(Flaky.call)
    await ctx.run(Flaky.call)
    return "done"

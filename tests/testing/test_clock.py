"""Time that tests own: however long it is, it takes milliseconds, and all that is due on the way happens."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Never

import pytest

from orchestrator import Context, EmbeddedEngine, Retry, step, workflow
from orchestrator.core.errors import RateLimitedError
from orchestrator.durable.runs import Status
from orchestrator.testing import BEGINNING, ManualClock, forever

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0


@step
async def remind(day: int) -> str:
    """Take a few turns of the loop, as real steps do."""
    for _ in range(20):
        await asyncio.sleep(0)
    return f"day {day}"


@step
def remind_from_thread(day: int) -> str:
    """Do the same in a thread."""
    return f"day {day}"


@workflow
async def month(ctx: Context) -> list[float]:
    """Remind every day, and note when."""
    noted = []
    for day in range(1, 31):
        await ctx.sleep(timedelta(days=1))
        await ctx.run(remind, day)
        await ctx.run(remind_from_thread, day)
        noted.append(ctx.now().timestamp())
    return noted


@workflow
async def nap(ctx: Context, seconds: float) -> float:
    """Sleep once."""
    await ctx.sleep(seconds)
    return ctx.now().timestamp()


@step
async def hang() -> Never:
    """Never answer."""
    await forever()


@workflow
async def impatient(ctx: Context) -> str:
    """Give up on a step after a minute."""
    try:
        async with asyncio.timeout(60):
            await ctx.run(hang)
    except TimeoutError:
        return "gave up"


async def test_thirty_days_pass_in_a_moment(tmp_path: Path) -> None:
    """Every sleep on the way ends at its own time, and its steps run before the next one begins."""
    clock = ManualClock()
    steps = [remind, remind_from_thread]
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[month], steps=steps, clock=clock) as engine:
        run = await engine.start(month)
        await clock.advance(days=30)
        assert (await run.describe()).status is Status.COMPLETED
        assert await run.result() == [BEGINNING + day * DAY_S for day in range(1, 31)]
    assert clock.now == BEGINNING + 30 * DAY_S


async def test_time_stops_where_it_was_told_to(tmp_path: Path) -> None:
    """A deadline that is a second later is not reached."""
    clock = ManualClock()
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[nap], clock=clock) as engine:
        run = await engine.start(nap, 3_600.0)
        await clock.advance(minutes=59, seconds=59)
        assert (await run.describe()).status is Status.WAITING
        await clock.advance(timedelta(seconds=1))
        assert (await run.describe()).status is Status.COMPLETED


async def test_ten_short_waits_end_with_one_long(tmp_path: Path) -> None:
    """Ten waits of a tenth of a second are over after one second, although floats do not quite say so."""

    @workflow
    async def blink(ctx: Context) -> int:
        for _ in range(10):
            await ctx.sleep(0.1)
        return 10

    clock = ManualClock(BEGINNING + 0.3)
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[blink], clock=clock) as engine:
        run = await engine.start(blink)
        await clock.advance(seconds=1)
        assert (await run.describe()).status is Status.COMPLETED


async def test_the_next_deadline_is_reached_in_one_go(tmp_path: Path) -> None:
    """One call goes as far as the earliest deadline, says how far that was, and ends when all is done."""
    clock = ManualClock()
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[nap], clock=clock) as engine:
        late = await engine.start(nap, 2 * DAY_S)
        early = await engine.start(nap, 60.0)
        assert await clock.advance_to_next() == timedelta(minutes=1)
        assert (await early.describe()).status is Status.COMPLETED
        assert (await late.describe()).status is Status.WAITING
        assert await clock.advance_to_next() == timedelta(days=2, minutes=-1)
        assert await late.result() == clock.now
        assert clock.datetime.timestamp() == clock.now
        with pytest.raises(LookupError, match="nothing waits for time"):
            await clock.advance_to_next()


async def test_a_retry_waits_for_the_clock(tmp_path: Path) -> None:
    """What a server asks for by Retry-After passes as fast as anything else."""
    tries: list[float] = []
    clock = ManualClock()

    @step(retry=Retry(attempts=3))
    async def call() -> int:
        tries.append(clock.now)
        if len(tries) < 3:
            raise RateLimitedError(retry_after=600.0 * len(tries))
        return len(tries)

    @workflow
    async def ask(ctx: Context) -> int:
        return await ctx.run(call)

    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[ask], steps=[call], clock=clock) as engine:
        run = await engine.start(ask)
        await clock.advance(minutes=30)
        assert (await run.describe()).status is Status.COMPLETED
    assert tries == [BEGINNING, BEGINNING + 600, BEGINNING + 1_800]


async def test_a_step_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    """Time goes on beside a step that says it never ends, so that a timeout around it can be seen."""
    clock = ManualClock()
    async with EmbeddedEngine(
        tmp_path / "runs.db", workflows=[impatient], steps=[hang], clock=clock
    ) as engine:
        run = await engine.start(impatient)
        await clock.advance(seconds=59)
        assert (await run.describe()).status is Status.RUNNING
        await clock.advance(seconds=1)
        assert await run.result() == "gave up"


async def test_a_step_that_does_not_end_is_named(tmp_path: Path) -> None:
    """A step that waits for something else keeps the engine from settling; the message says which."""

    @step
    async def stare() -> None:
        await asyncio.Event().wait()

    @workflow
    async def watch(ctx: Context) -> None:
        await ctx.run(stare)

    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[watch], steps=[stare]) as engine:
        await engine.start(watch, id="w-1")
        with pytest.raises(TimeoutError, match=r"stare of run w-1.*forever"):
            await engine.settled(within=0.05)


async def test_two_engines_live_by_one_clock(tmp_path: Path) -> None:
    """Each does its work before time goes on, and one that was closed is waited for no more."""
    clock = ManualClock()
    async with EmbeddedEngine(tmp_path / "a.db", workflows=[nap], clock=clock) as one:
        async with EmbeddedEngine(tmp_path / "b.db", workflows=[nap], clock=clock) as other:
            first, second = await one.start(nap, DAY_S), await other.start(nap, DAY_S)
            await clock.advance(days=1)
            assert await first.result() == await second.result() == BEGINNING + DAY_S
        await clock.advance(days=1)


async def test_a_sleep_goes_on_in_the_next_engine(tmp_path: Path) -> None:
    """Time that passes while no engine is open counts."""
    clock = ManualClock()
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[nap], clock=clock) as engine:
        await engine.start(nap, DAY_S, id="n")
    await clock.advance(days=3)
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[nap], clock=clock) as engine:
        await clock.settle()
        assert await (await engine.get("n")).result() == BEGINNING + 3 * DAY_S


async def test_time_does_not_go_back() -> None:
    """A negative duration is a mistake; setting the clock back is another matter."""
    clock = ManualClock()
    with pytest.raises(ValueError, match="does not go back by 1 day"):
        await clock.advance(days=-1)
    clock.set(BEGINNING - DAY_S)
    assert clock.time() == BEGINNING - DAY_S


async def test_a_deadline_that_was_called_off_is_none(tmp_path: Path) -> None:
    """Once the signal came in time, nothing waits for its timeout any more."""

    @workflow
    async def ask(ctx: Context) -> str:
        first = await ctx.receive("answer", str, timeout=60)
        return first + await ctx.receive("answer", str)

    clock = ManualClock()
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[ask], clock=clock) as engine:
        run = await engine.start(ask)
        await clock.settle()
        assert clock.next_wake == BEGINNING + 60
        await run.signal("answer", "yes")
        await clock.settle()
        assert clock.next_wake is None
        await run.signal("answer", "!")
        assert await run.result() == "yes!"

"""The engine port: time, randomness, signals, and asyncio's own tools inside workflows."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from orchestrator import Context, StepError, step, workflow
from orchestrator.core.errors import TerminalError
from orchestrator.durable.errors import RunClosedError, RunFailedError
from orchestrator.durable.payloads import PayloadError
from support.contract_lab import Gates

if TYPE_CHECKING:
    from support.contract_lab import Lab

FOREVER_S = 86_400.0


class Approval(BaseModel):
    """What a person decides."""

    by: str
    granted: bool


async def test_a_sleep_takes_its_time(lab: Lab) -> None:
    """The run's clock has moved by at least the duration, given as seconds or as a timedelta."""

    @workflow
    async def nap(ctx: Context) -> list[float]:
        before = ctx.now()
        await ctx.sleep(0.01)
        between = ctx.now()
        await ctx.sleep(timedelta(milliseconds=10))
        return [(between - before).total_seconds(), (ctx.now() - between).total_seconds()]

    async with lab.open([nap]) as engine:
        first, second = await (await engine.start(nap)).result()
    assert min(first, second) >= 0.01


async def test_a_sleep_of_no_time_ends(lab: Lab) -> None:
    """Zero is a duration like any other."""

    @workflow
    async def nap(ctx: Context) -> str:
        await ctx.sleep(0)
        return "awake"

    async with lab.open([nap]) as engine:
        assert await (await engine.start(nap)).result() == "awake"


async def test_a_sleep_of_impossible_time_is_an_error(lab: Lab) -> None:
    """The error comes at the call and says what can be given."""

    @workflow
    async def nap(ctx: Context, seconds: str) -> None:
        await ctx.sleep(float(seconds))

    async with lab.open([nap]) as engine:
        for seconds in ("-1", "nan", "inf"):
            with pytest.raises(RunFailedError, match="give 0 or more"):
                await (await engine.start(nap, seconds)).result()


async def test_time_never_goes_backwards_and_knows_its_zone(lab: Lab) -> None:
    """``now`` is UTC, and only what is delivered to the run moves it."""

    @workflow
    async def look(ctx: Context) -> bool:
        times = [ctx.now(), ctx.now()]
        stands_still = times[0] == times[1]
        for name in "abc":
            await ctx.run(Gates.note, name)
            times.append(ctx.now())
        offsets = {moment.utcoffset() for moment in times}
        return stands_still and times == sorted(times) and offsets == {timedelta(0)}

    async with lab.open([look], [Gates()]) as engine:
        assert await (await engine.start(look)).result()


async def test_randomness_is_the_run_s_own_and_the_same_on_replay(lab: Lab, gates: Gates) -> None:
    """Runs and branches differ from each other; a replay repeats each of them."""
    seen: list[list[Any]] = []

    async def draw(ctx: Context) -> list[Any]:
        return [ctx.random.random(), str(ctx.uuid())]

    @workflow
    async def dice(ctx: Context, name: str) -> list[Any]:
        drawn = [*await draw(ctx), *await ctx.gather(draw(ctx), draw(ctx)), *await draw(ctx)]
        seen.append(drawn)
        await ctx.run(Gates.wait, name)
        return drawn

    async with lab.open([dice], [gates]) as engine:
        first = await engine.start(dice, "gate")
        await gates.reached("gate")
    gates.open("gate", "other")
    async with lab.open([dice], [gates]) as engine:
        await (await engine.get(first.id)).result()
        other = await (await engine.start(dice, "other")).result()
    assert len(seen) > 2
    of_first = [drawn for drawn in seen if drawn[0] == seen[0][0]]
    assert len(of_first) > 1
    assert all(drawn == seen[0] for drawn in of_first)
    assert seen[0] != other
    assert len(set(map(str, seen[0]))) == len(seen[0])


async def test_a_signal_reaches_the_one_who_waits(lab: Lab, gates: Gates) -> None:
    """Its data arrives as the type that was asked for."""

    @workflow
    async def ask(ctx: Context) -> Approval:
        await ctx.run(Gates.note, "before")
        return await ctx.receive("approve", Approval, timeout=FOREVER_S)

    async with lab.open([ask], [gates]) as engine:
        run = await engine.start(ask)
        await run.signal("approve", Approval(by="ann", granted=True))
        assert await run.result() == Approval(by="ann", granted=True)


async def test_signals_wait_for_their_reader_in_order(lab: Lab, gates: Gates) -> None:
    """What came before anybody asked is kept, by name, in the order of arrival; data may be left out."""

    @workflow
    async def late(ctx: Context) -> list[Any]:
        await ctx.run(Gates.wait, "gate")
        return [
            await ctx.receive("b", str),
            await ctx.receive("a", int),
            await ctx.receive("a", int),
            await ctx.receive("a"),
        ]

    async with lab.open([late], [gates]) as engine:
        run = await engine.start(late)
        await gates.reached("gate")
        for name, data in [("a", 1), ("b", "x"), ("a", 2)]:
            await run.signal(name, data)
        await run.signal("a")
        gates.open("gate")
        assert await run.result() == ["x", 1, 2, None]


async def test_readers_are_served_in_the_order_in_which_they_asked(lab: Lab) -> None:
    """The first call of ``receive`` gets the first signal, though awaited last."""

    @workflow
    async def two(ctx: Context) -> list[int]:
        first = ctx.receive("n", int)
        second = ctx.receive("n", int)
        return [await second, await first]

    async with lab.open([two]) as engine:
        run = await engine.start(two)
        await run.signal("n", 1)
        await run.signal("n", 2)
        assert await run.result() == [2, 1]


async def test_a_signal_id_counts_once(lab: Lab) -> None:
    """A sender that is unsure may send again under the same id."""

    @workflow
    async def two(ctx: Context) -> list[int]:
        return [await ctx.receive("n", int), await ctx.receive("n", int)]

    async with lab.open([two]) as engine:
        run = await engine.start(two)
        await run.signal("n", 1, id="first")
        await run.signal("n", 1, id="first")
        await run.signal("n", 2, id="second")
        assert await run.result() == [1, 2]


async def test_receive_gives_up_when_its_time_is_over(lab: Lab) -> None:
    """With a TimeoutError that names the signal; a later signal goes to the next reader."""

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            await ctx.receive("approve", timeout=0.01)
        except TimeoutError as error:
            late = str(error)
        else:
            late = "in time"
        await ctx.run(Gates.wait, "gate")
        return f"{late}; {await ctx.receive('approve', str)}"

    gates = Gates()
    async with lab.open([ask], [gates]) as engine:
        run = await engine.start(ask)
        await gates.reached("gate")
        await run.signal("approve", "after all")
        gates.open("gate")
        assert await run.result() == "no signal 'approve' within 0.01 seconds; after all"


async def test_a_signal_of_another_type_is_an_error_of_its_reader(lab: Lab) -> None:
    """The error names the signal; the workflow may ask again."""

    @workflow
    async def ask(ctx: Context) -> tuple[str, Approval]:
        try:
            return "at once", await ctx.receive("approve", Approval)
        except PayloadError as error:
            message = error.message
        return message, await ctx.receive("approve", Approval)

    async with lab.open([ask]) as engine:
        run = await engine.start(ask)
        await run.signal("approve", "yes")
        await run.signal("approve", {"by": "ann", "granted": False})
        message, approval = await run.result()
        assert "signal approve does not fit its type" in message
        assert approval == Approval(by="ann", granted=False)


async def test_an_ended_run_takes_no_signals(lab: Lab) -> None:
    """The sender is told, instead of waiting for an answer that cannot come."""

    @workflow
    async def nothing(ctx: Context) -> None:
        pass

    async with lab.open([nothing]) as engine:
        run = await engine.start(nothing)
        await run.result()
        with pytest.raises(RunClosedError, match="takes no"):
            await run.signal("approve")


async def test_the_first_of_two_wins_for_ever(lab: Lab, gates: Gates) -> None:
    """``asyncio.wait(FIRST_COMPLETED)`` has the same winner live and replayed."""
    winners: list[str] = []

    @workflow
    async def race(ctx: Context) -> str:
        slow = asyncio.create_task(ctx.run(Gates.wait, "slow"))
        fast = asyncio.create_task(ctx.run(Gates.wait, "fast"))
        done, _ = await asyncio.wait([slow, fast], return_when=asyncio.FIRST_COMPLETED)
        (winner,) = [task.result() for task in done]
        winners.append(winner)
        await ctx.run(Gates.wait, "won")
        await slow
        await ctx.run(Gates.wait, "gate")
        return winner

    gates.open("won")
    async with lab.open([race], [gates]) as engine:
        run = await engine.start(race)
        await gates.reached("slow", "fast")
        gates.open("fast")
        await gates.reached(
            "won"
        )  # a Temporal worker may get both results at once if the other comes earlier
        gates.open("slow")
        await gates.reached("gate")
    gates.open("gate")
    async with lab.open([race], [gates]) as engine:
        assert await (await engine.get(run.id)).result() == "fast"
    assert len(winners) > 1
    assert set(winners) == {"fast"}


async def test_asyncio_gather_keeps_the_order_of_its_arguments(lab: Lab) -> None:
    """Operations are numbered when they are called, so plain ``asyncio.gather`` replays as it ran."""

    @workflow
    async def both(ctx: Context) -> list[str]:
        return list(await asyncio.gather(ctx.run(Gates.note, "a"), ctx.run(Gates.note, "b")))

    async with lab.open([both], [Gates()]) as engine:
        run = await engine.start(both)
        assert await run.result() == ["a", "b"]
        assert [(view.operation, view.result) for view in await run.steps()] == [("1", "a"), ("2", "b")]


async def test_a_task_group_cancels_its_others(lab: Lab, gates: Gates) -> None:
    """The group ends once the step of the cancelled task has."""

    @step
    async def fail_beside() -> None:
        await gates.reached("gate")
        raise TerminalError("no")

    @workflow
    async def grouped(ctx: Context) -> list[str]:
        messages: list[str] = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.run(Gates.wait, "gate"))
                group.create_task(ctx.run(fail_beside))
        except* StepError as errors:
            messages = [str(error) for error in errors.exceptions]
            await ctx.run(Gates.note, "after")
        return messages

    async with lab.open([grouped], [fail_beside, gates]) as engine:
        assert await (await engine.start(grouped)).result() == ["no"]
        assert gates.ended == ["gate cancelled", "after"]


async def test_a_task_that_never_had_a_turn_is_cancelled_with_its_step(lab: Lab, gates: Gates) -> None:
    """Cancelled in the moment of its birth, its step has ended, or never began, when the run goes on."""

    @workflow
    async def hasty(ctx: Context) -> str:
        task = asyncio.create_task(ctx.run(Gates.wait, "gate"))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return await ctx.run(Gates.note, "after")

    async with lab.open([hasty], [gates]) as engine:
        assert await (await engine.start(hasty)).result() == "after"
        assert gates.calls.count("gate") == gates.ended.count("gate cancelled")


async def test_asyncio_timeout_stops_a_step(lab: Lab, gates: Gates) -> None:
    """The step is cancelled, its end awaited, and the TimeoutError is the workflow's to handle."""

    @workflow
    async def hurry(ctx: Context) -> str:
        try:
            async with asyncio.timeout(0.3):
                await ctx.run(Gates.wait, "gate")
        except TimeoutError:
            return await ctx.run(Gates.note, "too late")
        return "in time"

    async with lab.open([hurry], [gates]) as engine:
        assert await (await engine.start(hurry)).result() == "too late"
        assert gates.calls.count("gate") == gates.ended.count("gate cancelled")


async def test_asyncio_sleep_is_durable_too(lab: Lab) -> None:
    """It is a timer of the run."""

    @workflow
    async def nap(ctx: Context) -> bool:
        before = ctx.now()
        await asyncio.sleep(0.01)
        return (ctx.now() - before).total_seconds() >= 0.01

    async with lab.open([nap]) as engine:
        assert await (await engine.start(nap)).result()

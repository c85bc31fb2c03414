"""Workflows without an end: a run that continues as a new history under its id."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, step, step_info, workflow
from orchestrator.core.errors import TerminalError
from orchestrator.durable.errors import RunCancelledError, RunFailedError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from orchestrator.durable.runs import Event
    from support.contract_lab import Lab


@step
async def add(total: int, number: int) -> int:
    """Their sum."""
    return total + number


@workflow
async def collect(ctx: Context, total: int) -> int:
    """Add what is signalled, each number in a history of its own; 0 ends it."""
    number = await ctx.receive("number", int)
    if number == 0:
        return total
    return ctx.continue_as(await ctx.run(add, total, number))


async def test_a_run_goes_on_under_its_id_with_a_new_input(lab: Lab) -> None:
    """One id, one result, however many histories there were; signals sent meanwhile are kept in order."""
    async with lab.open([collect], [add]) as engine:
        run = await engine.start(collect, 0, id=lab.id("run"))
        for number in (1, 2, 3, 0):
            await run.signal("number", number)
        assert await run.result() == 6
        assert (await run.describe()).status is Status.COMPLETED


async def test_a_history_begins_anew(lab: Lab) -> None:
    """What came before is forgotten, so that an endless run does not grow; offsets go on."""

    @workflow
    async def count(ctx: Context, number: int) -> int:
        await ctx.run(add, number, 0)
        if number < 50:
            ctx.continue_as(number + 1)
        return number

    async with lab.open([count], [add]) as engine:
        run = await engine.start(count, 0)
        assert await run.result() == 50
        events = await all_events(run)
        assert [event.type for event in events] == [
            EventType.RUN_STARTED,
            EventType.STEP_STARTED,
            EventType.STEP_COMPLETED,
            EventType.RUN_COMPLETED,
        ]
        assert events[0].data == 50
        assert events[0].offset > 100
        assert len(await run.steps()) == 1


async def test_a_watcher_sees_all_histories(lab: Lab) -> None:
    """Who watches live is shown every history to the last one's end, in order and without a gap."""
    async with lab.open([collect], [add]) as engine:
        run = await engine.start(collect, 0)
        events: list[Event] = []

        async def watch() -> None:
            async for event in run.events():
                events.append(event)  # noqa: PERF401  # the test looks on meanwhile

        watching = asyncio.ensure_future(watch())
        while not events:  # noqa: ASYNC110  # what it waits for is a list
            await asyncio.sleep(0.01)
        for number in (1, 2, 0):
            await run.signal("number", number)
        await watching
        assert [event.offset for event in events] == list(range(1, len(events) + 1))
        assert [event.data for event in events if event.type is EventType.RUN_STARTED] == [0, 1, 3]


async def test_an_endless_run_survives_restarts(lab: Lab) -> None:
    """Between two histories and inside of one."""
    async with lab.open([collect], [add]) as engine:
        run = await engine.start(collect, 0, id=lab.id("run"))
        await run.signal("number", 1)
    async with lab.open([collect], [add]) as engine:
        await (await engine.get(lab.id("run"))).signal("number", 2)
    async with lab.open([collect], [add]) as engine:
        run = await engine.get(lab.id("run"))
        await run.signal("number", 0)
        async with asyncio.timeout(30):
            assert await run.result() == 3


async def test_the_same_start_finds_a_run_that_continued(lab: Lab) -> None:
    """The id and the input that it was started with are the run's for ever."""
    async with lab.open([collect], [add]) as engine:
        run = await engine.start(collect, 0, id=lab.id("run"))
        await run.signal("number", 1)
        again = await engine.start(collect, 0, id=lab.id("run"))
        await again.signal("number", 0)
        assert await again.result() == 1


async def test_each_history_has_randomness_of_its_own(lab: Lab) -> None:
    """Two histories of one run do not repeat the same random numbers, nor ids of children."""

    @workflow
    async def dice(ctx: Context, seen: list[str]) -> list[str]:
        seen = [*seen, str(ctx.uuid())]
        if len(seen) < 3:
            ctx.continue_as(seen)
        return seen

    async with lab.open([dice]) as engine:
        assert len(set(await (await engine.start(dice, [])).result())) == 3


async def test_children_of_two_histories_are_two_runs(lab: Lab) -> None:
    """A child at the same place of a later history is another run."""

    @workflow
    async def twice(ctx: Context, number: int) -> int:
        await ctx.run(add, number, 0)
        return 2 * number

    @workflow
    async def loop(ctx: Context, seen: list[int]) -> list[int]:
        seen = [*seen, await ctx.child(twice, len(seen))]
        if len(seen) < 3:
            ctx.continue_as(seen)
        return seen

    async with lab.open([loop, twice], [add]) as engine:
        assert await (await engine.start(loop, [])).result() == [0, 2, 4]


async def test_each_history_has_idempotency_keys_of_its_own(lab: Lab) -> None:
    """The first step of every history is another call to whoever is called: it must count each time."""
    keys: list[str] = []

    @step
    async def pay(amount: int) -> int:
        keys.append(step_info().idempotency_key)
        return amount

    @workflow
    async def rent(ctx: Context, month: int) -> int:
        await ctx.run(pay, 100)
        if month < 3:
            ctx.continue_as(month + 1)
        return month

    async with lab.open([rent], [pay]) as engine:
        assert await (await engine.start(rent, 1, id=lab.id("rent"))).result() == 3
    assert len(set(keys)) == 3
    assert keys[0] == f"{lab.id('rent')}/1:pay"


async def test_a_run_that_continued_can_be_cancelled(lab: Lab) -> None:
    """A cancel reaches the history that is current."""
    async with lab.open([collect], [add]) as engine:
        run = await engine.start(collect, 0)
        await run.signal("number", 1)
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()


async def test_what_was_registered_to_be_undone_is_forgotten(lab: Lab, gates: Gates) -> None:
    """Continuing is success so far: nothing is undone, then or when a later history fails."""

    @workflow
    async def saga(ctx: Context, number: int) -> int:
        ctx.compensate(Gates.note, f"undo {number}")
        if number < 2:
            ctx.continue_as(number + 1)
        raise TerminalError("enough")

    async with lab.open([saga], [gates]) as engine:
        with pytest.raises(RunFailedError, match="enough"):
            await (await engine.start(saga, 0)).result()
        assert gates.calls == ["undo 2"]


async def test_an_input_that_does_not_fit_fails_the_run(lab: Lab) -> None:
    """What could not be begun with is refused where it is given."""

    @workflow
    async def wrong(ctx: Context, number: int) -> int:
        ctx.continue_as(f"not {number}")

    async with lab.open([wrong]) as engine:
        with pytest.raises(RunFailedError, match="the input of wrong"):
            await (await engine.start(wrong, 1)).result()

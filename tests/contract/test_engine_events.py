"""The engine port: what watchers of a run see."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, Retry, progress, step, workflow
from orchestrator.durable.errors import RunCancelledError, RunFailedError
from orchestrator.durable.runs import LAST_EVENTS, EventType
from support.contract_lab import PATIENCE_S, Gates, all_events

if TYPE_CHECKING:
    from orchestrator.durable.runs import Event
    from support.contract_lab import Lab


@workflow
async def conversation(ctx: Context, name: str) -> str:
    """Run a step, sleep, listen, and run a step on what was heard."""
    await ctx.run(Gates.note, name)
    await ctx.sleep(0.01)
    heard = await ctx.receive("say", str)
    return await ctx.run(Gates.note, heard)


def outline(events: list[Event]) -> list[tuple[str, str, str]]:
    """Type, name and operation of each event."""
    return [(event.type.value, event.name, event.operation) for event in events]


async def test_events_tell_a_run_from_start_to_end(lab: Lab, gates: Gates) -> None:
    """In the order in which things happened, with what went in and came out, numbered without a gap."""
    async with lab.open([conversation], [gates]) as engine:
        run = await engine.start(conversation, "ann")
        watch = run.events()
        events = [await anext(watch)]
        while events[-1].type is not EventType.TIMER_FIRED:
            events.append(await anext(watch))
        await run.signal("say", "hello")
        events += [event async for event in watch]
    assert [event.type for event in events] == [
        EventType.RUN_STARTED,
        EventType.STEP_STARTED,
        EventType.STEP_COMPLETED,
        EventType.TIMER_FIRED,
        EventType.SIGNAL_RECEIVED,
        EventType.STEP_STARTED,
        EventType.STEP_COMPLETED,
        EventType.RUN_COMPLETED,
    ]
    assert [events[1].name, events[4].name, events[5].name] == ["Gates.note", "say", "Gates.note"]
    assert (events[3].operation, events[3].name) == ("2", "sleep")
    assert [event.offset for event in events] == list(range(1, len(events) + 1))
    assert [events[0].data, events[2].data, events[4].data, events[-1].data] == [
        "ann",
        "ann",
        "hello",
        "hello",
    ]
    assert [event.attempt for event in events if event.type is EventType.STEP_COMPLETED] == [1, 1]
    assert [event.operation for event in events if event.type is EventType.STEP_COMPLETED] == ["1", "4"]
    times = [event.at for event in events]
    assert times == sorted(times)


async def test_events_resume_after_any_offset(lab: Lab, gates: Gates) -> None:
    """A watcher that comes back gets the rest, of an ended run too, and by any handle."""
    async with lab.open([conversation], [gates]) as engine:
        run = await engine.start(conversation, "ann")
        await run.signal("say", "hello")
        await run.result()
        events = await all_events(run)
        found = await engine.get(run.id)
        for after in range(len(events) + 1):
            assert await all_events(found, after) == events[after:]
    async with lab.open([conversation], [gates]) as engine:
        assert await all_events(await engine.get(run.id)) == events


async def test_events_are_shown_while_the_run_works(lab: Lab, gates: Gates) -> None:
    """Every watcher sees the start of a step before its end, and then all the rest."""

    @workflow
    async def held(ctx: Context) -> str:
        return await ctx.run(Gates.wait, "gate")

    async with lab.open([held], [gates]) as engine:
        run = await engine.start(held)
        watchers = [run.events() for _ in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            for watcher in watchers:
                async for event in watcher:
                    if event.type is EventType.STEP_STARTED:
                        break
        assert gates.ended == []
        gates.open("gate")
        rests = [[event.type async for event in watcher] for watcher in watchers]
    assert rests == [[EventType.STEP_COMPLETED, EventType.RUN_COMPLETED]] * 3


async def test_a_failed_run_ends_with_its_failure(lab: Lab) -> None:
    """The events say which step failed, and how."""

    @step
    async def fail() -> None:
        raise ConnectionError("not now")

    @workflow
    async def ask(ctx: Context) -> None:
        await ctx.run(fail)

    async with lab.open([ask], [fail]) as engine:
        run = await engine.start(ask)
        with pytest.raises(RunFailedError):
            await run.result()
        events = await all_events(run)
    assert outline(events)[-2:] == [("step-failed", "fail", "1"), ("run-failed", "", "")]
    for event in events[-2:]:
        assert isinstance(event.data, dict)
        assert (event.data["type"], event.data["message"]) == ("ConnectionError", "not now")


async def test_a_cancelled_run_ends_with_its_cancel(lab: Lab, gates: Gates) -> None:
    """The request, the end of the step and the end of the run are told in this order."""

    @workflow
    async def held(ctx: Context) -> str:
        return await ctx.run(Gates.wait, "gate")

    async with lab.open([held], [gates]) as engine:
        run = await engine.start(held)
        await gates.reached("gate")
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        events = await all_events(run)
    assert outline(events) == [
        ("run-started", "", ""),
        ("step-started", "Gates.wait", "1"),
        ("cancel-requested", "", ""),
        ("step-cancelled", "Gates.wait", "1"),
        ("run-cancelled", "", ""),
    ]


async def test_a_repeated_signal_is_told_once(lab: Lab) -> None:
    """What counts once is shown once."""

    @workflow
    async def ask(ctx: Context) -> list[int]:
        return [await ctx.receive("n", int), await ctx.receive("n", int)]

    async with lab.open([ask]) as engine:
        run = await engine.start(ask)
        for number, identity in [(1, "a"), (1, "a"), (2, "b")]:
            await run.signal("n", number, id=identity)
        await run.result()
        events = await all_events(run)
    assert [event.data for event in events if event.type is EventType.SIGNAL_RECEIVED] == [1, 2]


async def test_published_events_are_shown_once(lab: Lab, gates: Gates) -> None:
    """However often the run is replayed, and in the order of the code."""

    @workflow
    async def announce(ctx: Context) -> None:
        ctx.publish("news", {"number": 1})
        await ctx.run(Gates.wait, "first")
        ctx.publish("news", {"number": 2})
        await ctx.run(Gates.wait, "second")
        ctx.publish("over")

    for gate in ("first", "second"):
        async with lab.open([announce], [gates]) as engine:
            run = await engine.start(announce, id=lab.id("announce"))
            await gates.reached(gate)
        gates.open(gate)
    async with lab.open([announce], [gates]) as engine:
        run = await engine.get(lab.id("announce"))
        await run.result()
        events = await all_events(run)
    published = [(e.name, e.operation, e.data) for e in events if e.type is EventType.PUBLISHED]
    assert published == [("news", "1", {"number": 1}), ("news", "3", {"number": 2}), ("over", "5", None)]
    assert [event.offset for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type in LAST_EVENTS


async def test_progress_is_shown_with_its_attempt(lab: Lab) -> None:
    """From async steps and from threads, between the step's start and its end, in order."""

    @step(retry=Retry(attempts=2, backoff=(0.0,)))
    async def write() -> None:
        progress("a")
        progress({"part": 2})
        raise ConnectionError("not now")

    @step
    def draw() -> None:
        progress(50)
        progress(100)

    @workflow
    async def work(ctx: Context) -> None:
        await ctx.run(draw)
        await ctx.run(write)

    async with lab.open([work], [write, draw]) as engine:
        run = await engine.start(work)
        with pytest.raises(RunFailedError):
            await run.result()
        events = await all_events(run)
    shown = [(e.name, e.attempt, e.data) for e in events if e.type is EventType.STEP_PROGRESS]
    assert shown == [
        ("draw", 1, 50),
        ("draw", 1, 100),
        ("write", 1, "a"),
        ("write", 1, {"part": 2}),
        ("write", 2, "a"),
        ("write", 2, {"part": 2}),
    ]
    kinds = [event.type for event in events]
    assert kinds.index(EventType.STEP_STARTED) < kinds.index(EventType.STEP_PROGRESS)
    assert kinds[1:5] == [
        EventType.STEP_STARTED,
        EventType.STEP_PROGRESS,
        EventType.STEP_PROGRESS,
        EventType.STEP_COMPLETED,
    ]


async def test_each_retry_is_an_event(lab: Lab) -> None:
    """It says which attempt failed and with what; the step's end has the last attempt's number."""
    calls: list[int] = []

    @step(retry=Retry(attempts=3, backoff=(0.0,)))
    async def flaky() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError(f"failure {len(calls)}")
        return "done"

    @workflow
    async def ask(ctx: Context) -> str:
        return await ctx.run(flaky)

    async with lab.open([ask], [flaky]) as engine:
        run = await engine.start(ask)
        await run.result()
        events = await all_events(run)
    retries = [event for event in events if event.type is EventType.STEP_RETRYING]
    assert [event.attempt for event in retries] == [1, 2]
    for number, event in enumerate(retries, start=1):
        assert isinstance(event.data, dict)
        failure = event.data["failure"]
        assert isinstance(failure, dict)
        assert failure["message"] == f"failure {number}"
    (completed,) = [event for event in events if event.type is EventType.STEP_COMPLETED]
    assert completed.attempt == 3

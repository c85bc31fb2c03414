"""Limits: how many runs are under way at once, who comes next, and what a run that waits can be asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from orchestrator import Context, Limit, workflow
from orchestrator.core.errors import ConflictError, InvalidInputError
from orchestrator.durable.errors import ChildError, RunCancelledError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import PATIENCE_S, Gates, Lab, all_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.durable.engine import Run
    from orchestrator.durable.runs import Event
    from orchestrator.durable.workflows import Workflow


class Order(BaseModel):
    """What a customer wants done."""

    customer: str
    gate: str


@workflow(limits=[Limit(1)])
async def alone(ctx: Context, gate: str) -> str:
    """Wait at a gate, one run at a time."""
    return await ctx.run(Gates.wait, gate)


@workflow(limits=[Limit(2), Limit(1, key=lambda order: order.customer)])
async def handle(ctx: Context, order: Order) -> str:
    """Wait at a gate: two runs at a time, and one for each customer."""
    return await ctx.run(Gates.wait, order.gate)


@workflow(limits=[Limit(1, key=lambda gate: gate[0], name="letter")])
async def of_letter(ctx: Context, gate: str) -> str:
    """Wait at a gate, one run for each first letter."""
    return await ctx.run(Gates.wait, gate)


@workflow(limits=[Limit(1, key=lambda order: order.customer, name="letter")])
async def of_customer(ctx: Context, order: Order) -> str:
    """Share the limit of ``of_letter``, by a key that is found elsewhere."""
    return await ctx.run(Gates.wait, order.gate)


@workflow(limits=[Limit(1, name="asked")])
async def ask(ctx: Context, gate: str) -> list[str]:
    """Say so, receive two words, then wait at a gate."""
    ctx.publish("asks", gate)
    words = [await ctx.receive("word", str), await ctx.receive("word", str)]
    return [*words, await ctx.run(Gates.wait, gate)]


@workflow(limits=[Limit(1, key=lambda number: number)])
async def misfit(ctx: Context, number: int) -> int:
    """Have a key that is no text."""
    return number


@workflow
async def free(ctx: Context, gate: str) -> str:
    """Wait at a gate without limits."""
    return await ctx.run(Gates.wait, gate)


@workflow(limits=[Limit(1)])
async def nap(ctx: Context, seconds: float) -> float:
    """Sleep, one run at a time, and say how long it took by the run's own clock."""
    before = ctx.now()
    await ctx.sleep(seconds)
    return (ctx.now() - before).total_seconds()


@workflow(limits=[Limit(1)])
async def nap_between(ctx: Context, gate: str) -> str:
    """Wait at a gate, say so, sleep a little, and note what was received meanwhile, or nothing."""
    await ctx.run(Gates.wait, gate)
    ctx.publish("passed", gate)
    await ctx.sleep(0.01)
    try:
        word = await ctx.receive("word", str, timeout=0.01)
    except TimeoutError:
        word = "nothing"
    return await ctx.run(Gates.note, f"{gate} {word}")


@workflow(limits=[Limit(1)])
async def nested(ctx: Context, depth: int) -> int:
    """Begin itself as a child, so many times, under a limit of one."""
    if depth == 0:
        return 0
    return 1 + sum(await ctx.gather(ctx.child(nested, depth - 1), ctx.child(nested, 0)))


@workflow(limits=[Limit(2, name="shared"), Limit(1, key=lambda gate: gate[0], name="letter")])
async def parent(ctx: Context, gate: str) -> list[str]:
    """Hold two slots, and have a child that needs both, and another one."""
    return [await ctx.run(Gates.wait, gate), await ctx.child(child, gate), await ctx.child(of_letter, gate)]


@workflow(
    limits=[
        Limit(2, name="shared"),
        Limit(1, key=lambda gate: gate[0], name="letter"),
        Limit(1, name="children"),
    ]
)
async def child(ctx: Context, gate: str) -> str:
    """Share its parent's limits, and have one of its own."""
    return await ctx.run(Gates.wait, f"{gate} child")


@workflow
async def careless(ctx: Context, gate: str) -> str:
    """Have a child whose limit finds no key, then go on."""
    try:
        return await ctx.child(of_letter, "")
    except ChildError as error:
        return f"{gate}: {error.type}"


WORKFLOWS: list[Workflow[Any, Any]] = [
    alone, handle, of_letter, of_customer, ask, misfit, free, nap, nap_between, nested, parent, child,
    careless,
]  # fmt: skip


async def pending(*runs: Run[Any]) -> list[bool]:
    """Which of these runs wait for a place."""
    return [(await run.describe()).status is Status.PENDING for run in runs]


async def until(run: Run[Any], kind: EventType) -> None:
    """Until the run's history has an event of this type."""
    async for event in run.events():
        if event.type is kind:
            return


async def test_a_workflow_has_at_most_so_many_runs_at_once(lab: Lab, gates: Gates) -> None:
    """The second run is pending, says why, and begins as soon as the first has ended."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        first = await engine.start(alone, "a")
        second = await engine.start(alone, "b")
        await gates.reached("a")
        info = await second.describe()
        assert info.status is Status.PENDING
        assert info.reason == "waits for a place in limit 'alone' (1 of 1 taken)"
        assert gates.calls == ["a"]
        gates.open("a")
        await gates.reached("b")
        assert (await second.describe()).status is Status.RUNNING
        assert (await second.describe()).reason == ""
        gates.open("b")
        assert [await first.result(), await second.result()] == ["a", "b"]


async def test_each_key_has_a_limit_of_its_own(lab: Lab, gates: Gates) -> None:
    """A customer's second order waits for the first; another customer's goes on, up to the limit of all."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        ada = [await engine.start(handle, Order(customer="ada", gate=f"ada {n}")) for n in range(2)]
        bob = [await engine.start(handle, Order(customer="bob", gate=f"bob {n}")) for n in range(2)]
        cid = await engine.start(handle, Order(customer="cid", gate="cid"))
        await gates.reached("ada 0", "bob 0")
        assert await pending(*ada, *bob, cid) == [False, True, False, True, True]
        reason = (await ada[1].describe()).reason
        assert "limit 'handle' (2 of 2 taken)" in reason
        assert "limit 'handle by key' of 'ada' (1 of 1 taken)" in reason
        gates.open("bob 0")
        # Ada's order came earlier, and only hers: Bob's second one and Cid's wait for the place.
        await gates.reached("bob 1")
        assert await pending(*ada, *bob, cid) == [False, True, False, False, True]
        gates.open("ada 0", "ada 1", "bob 1", "cid")
        for run in (*ada, *bob, cid):
            await run.result()


async def test_workflows_share_a_limit_of_one_name(lab: Lab, gates: Gates) -> None:
    """What counts is the limit's name and the key, whichever workflow it is declared on."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        letter = await engine.start(of_letter, "a1")
        customer = await engine.start(of_customer, Order(customer="a", gate="a2"))
        other = await engine.start(of_customer, Order(customer="b", gate="b1"))
        await gates.reached("a1", "b1")
        assert await pending(letter, customer, other) == [False, True, False]
        gates.open("a1", "a2", "b1")
        assert [await run.result() for run in (letter, customer, other)] == ["a1", "a2", "b1"]


async def test_those_of_the_first_priority_come_first(lab: Lab, gates: Gates) -> None:
    """A free place goes to the lowest number, among equals to who came first."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        runs = [await engine.start(alone, "first")]
        for number, priority in enumerate([4, 3, 1, 3, 5, 1]):
            runs.append(await engine.start(alone, f"{priority}-{number}", priority=priority))
        gates.open("first", "4-0", "3-1", "1-2", "3-3", "5-4", "1-5")
        for run in runs:
            await run.result()
        assert gates.calls == ["first", "1-2", "1-5", "3-1", "3-3", "4-0", "5-4"]


async def test_every_priority_is_taken(lab: Lab, gates: Gates) -> None:
    """Runs of all five priorities go their way; any other number is refused and nothing starts."""
    gates.open("gate")
    async with lab.open([free], [gates]) as engine:
        for priority in range(1, 6):
            run = await engine.start(free, "gate", priority=priority)
            assert await run.result() == "gate"
        for wrong in (0, 6, -1):
            with pytest.raises(InvalidInputError, match="from 1, which is served first, to 5"):
                await engine.start(free, "gate", priority=wrong)


async def test_a_pending_run_is_found_under_its_id(lab: Lab, gates: Gates) -> None:
    """Starting it again gives the same run, with another input it is a conflict; it is listed as pending."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        first = await engine.start(alone, "a", id=lab.id("first"))
        b = lab.id("b")
        runs = await asyncio.gather(*[engine.start(alone, "b", id=b, priority=1) for _ in range(3)])
        assert {run.id for run in runs} == {b}
        with pytest.raises(ConflictError):
            await engine.start(alone, "other", id=b)
        assert await lab.listed(engine, [b], status=[Status.PENDING]) == [b]
        under_way = [Status.RUNNING, Status.WAITING]
        assert await lab.listed(engine, [first.id], status=under_way) == [first.id]
        with pytest.raises(ConflictError, match="has not ended"):
            await engine.delete(b)
        gates.open("a", "b")
        assert [await run.result() for run in (first, *runs)] == ["a", "b", "b", "b"]
        assert await lab.listed(engine, [], status=[Status.PENDING]) == []


async def test_a_pending_run_is_cancelled_at_once(lab: Lab, gates: Gates) -> None:
    """Its code never began, so there is nothing to clean up; who watches or waits is told."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        first = await engine.start(alone, "a")
        second = await engine.start(alone, "b")
        third = await engine.start(alone, "c")
        watching = asyncio.create_task(all_events(second))
        result = asyncio.create_task(_result(second))
        await gates.reached("a")
        await second.cancel()
        await second.cancel()
        async with asyncio.timeout(PATIENCE_S):
            assert [event.type for event in await watching] == [
                EventType.RUN_STARTED,
                EventType.RUN_CANCELLED,
            ]
            with pytest.raises(RunCancelledError):
                await result
        assert (await second.describe()).status is Status.CANCELLED
        gates.open("a", "c")
        assert [await first.result(), await third.result()] == ["a", "c"]
        assert gates.calls == ["a", "c"]
        await engine.delete(second.id)


async def test_signals_to_a_pending_run_are_kept(lab: Lab, gates: Gates) -> None:
    """They are received in their order once it begins, each id once, though many come at the same time."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        first = await engine.start(ask, "a")
        second = await engine.start(ask, "b")
        await asyncio.gather(
            second.signal("word", "one", id="1"),
            second.signal("word", "one", id="1"),
            second.signal("word", "one", id="1"),
        )
        await second.signal("word", "two", id="2")
        await second.signal("word", "one", id="1")
        await until(first, EventType.PUBLISHED)
        assert await pending(first, second) == [False, True]
        watched = [event async for event in _first(second, 3)]
        assert [(event.type, event.data) for event in watched] == [
            (EventType.RUN_STARTED, "b"),
            (EventType.SIGNAL_RECEIVED, "one"),
            (EventType.SIGNAL_RECEIVED, "two"),
        ]
        gates.open("a", "b")
        await first.signal("word", "x")
        await first.signal("word", "y")
        assert await first.result() == ["x", "y", "a"]
        assert await second.result() == ["one", "two", "b"]


async def test_who_holds_and_who_waits_survives_a_restart(lab: Lab, gates: Gates) -> None:
    """A new engine on the same storage keeps the limit, the order, and what was sent to those who wait."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        ids = [(await engine.start(alone, name, priority=priority)).id for name, priority in PRIORITIES]
        await gates.reached("first")
        asked = [(await engine.start(ask, "ask")).id for _ in range(2)]
        await until(await engine.get(asked[0]), EventType.PUBLISHED)
        await (await engine.get(asked[1])).signal("word", "before", id="1")
    async with lab.open(WORKFLOWS, [gates]) as engine:
        runs = [await engine.get(run_id) for run_id in ids]
        assert await pending(*runs) == [False, True, True, True]
        late = await engine.start(alone, "late", priority=2)
        questions = [await engine.get(run_id) for run_id in asked]
        assert await pending(late, *questions) == [True, False, True]
        gates.open("first", "low", "normal", "high", "late", "ask")
        for run in (*runs, late):
            await run.result()
        began = list(dict.fromkeys(gates.calls))
        assert [name for name in began if name != "ask"] == ["first", "high", "late", "normal", "low"]
        await questions[1].signal("word", "again", id="1")
        await questions[1].signal("word", "after", id="2")
        await questions[0].cancel()
        assert await questions[1].result() == ["before", "after", "ask"]


PRIORITIES = [("first", 3), ("low", 5), ("normal", 3), ("high", 1)]


async def test_the_time_of_a_run_begins_when_it_begins(lab: Lab) -> None:
    """A run that waited for its place sleeps as long as one that did not."""
    async with lab.open([nap]) as engine:
        runs = [await engine.start(nap, 0.2) for _ in range(2)]
        results = [await run.result() for run in runs]
        assert min(results) >= 0.2
        began, ended = [(await run.describe()) for run in runs]
        assert began.closed_at is not None
        assert ended.closed_at is not None
        assert (ended.closed_at - began.closed_at).total_seconds() >= 0.2


async def test_a_key_that_is_no_text_is_refused(lab: Lab) -> None:
    """Nothing is started where a limit finds no key in the input."""
    async with lab.open(WORKFLOWS, [Gates()]) as engine:
        with pytest.raises(InvalidInputError, match="it must be a str"):
            await engine.start(misfit, 1)
        with pytest.raises(InvalidInputError, match="IndexError"):
            await engine.start(of_letter, "")
        assert await engine.list() == []


async def test_a_failed_run_gives_its_place_back(lab: Lab, gates: Gates) -> None:
    """However a run ends, the next one begins."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        for name in ("a", "b"):
            run = await engine.start(alone, name)
            await gates.reached(name)
            await run.cancel()
            with pytest.raises(RunCancelledError):
                await run.result()
        run = await engine.start(alone, "c")
        gates.open("c")
        assert await run.result() == "c"


async def test_a_run_does_not_wait_for_its_own_ancestors(lab: Lab) -> None:
    """Under a limit of one a workflow begins itself as its child and its grandchildren."""
    async with lab.open(WORKFLOWS, [Gates()]) as engine:
        runs = [await engine.start(nested, 4) for _ in range(3)]
        async with asyncio.timeout(PATIENCE_S):
            assert [await run.result() for run in runs] == [4, 4, 4]


async def test_parents_that_fill_a_limit_do_not_shut_out_their_children(lab: Lab, gates: Gates) -> None:
    """A child has what its ancestors have, and waits for what is its own alone, also over a restart."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        ids = [(await engine.start(parent, name, id=lab.id(name))).id for name in ("a", "b", "c")]
        gates.open("a")
        await gates.reached("a child")
        gates.open("b")
        await until(await engine.get(lab.id("b")), EventType.CHILD_STARTED)
        child_of_b = f"{lab.id('b')}.2"
        shut_out: dict[str, Any] = {"status": [Status.PENDING], "workflow": "child"}
        assert await lab.listed(engine, [child_of_b], **shut_out) == [child_of_b]
        assert await pending(*[await engine.get(run_id) for run_id in ids]) == [False, False, True]
        waiting = await engine.list(**shut_out)
        assert [info.reason for info in waiting] == ["waits for a place in limit 'children' (1 of 1 taken)"]
    async with lab.open(WORKFLOWS, [gates]) as engine:
        runs = [await engine.get(run_id) for run_id in ids]
        assert await pending(*runs) == [False, False, True]
        assert await lab.listed(engine, [child_of_b], **shut_out) == [child_of_b]
        gates.open("a child", "b child", "c", "c child")
        async with asyncio.timeout(PATIENCE_S):
            assert [await run.result() for run in runs] == [[n, f"{n} child", n] for n in ("a", "b", "c")]
        assert await lab.listed(engine, [], status=[Status.PENDING]) == []


async def test_a_pending_child_ends_with_its_parent(lab: Lab, gates: Gates) -> None:
    """A cancel of the parent ends the child that waits for its place; who has the place goes on."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        gates.open("a", "b")
        first = await engine.start(parent, "a")
        await gates.reached("a child")
        second = await engine.start(parent, "b")
        await gates.reached("b")
        async with asyncio.timeout(PATIENCE_S):
            await until(second, EventType.CHILD_STARTED)
            waiting = f"{second.id}.2"
            assert await lab.listed(engine, [waiting], status=[Status.PENDING]) == [waiting]
            await second.cancel()
            with pytest.raises(RunCancelledError):
                await second.result()
            shut_out = await engine.get(waiting)
            with pytest.raises(RunCancelledError):
                await shut_out.result()
            gates.open("a child")
            assert await first.result() == ["a", "a child", "a"]
        assert "b child" not in gates.calls


async def test_a_child_whose_limit_finds_no_key_fails_at_its_parent(lab: Lab, gates: Gates) -> None:
    """The parent is told as of any other failure of a child."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        run = await engine.start(careless, "a")
        assert await run.result() == "a: InvalidInputError"


async def test_a_pending_run_can_be_paused(lab: Lab, gates: Gates) -> None:
    """It has its place when its turn comes, and begins nothing until it is resumed."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        first = await engine.start(alone, "a")
        second = await engine.start(alone, "b")
        third = await engine.start(alone, "c")
        for run in (second, third):
            await run.pause()
            await run.pause()
        await third.resume()
        gates.open("a", "b", "c")
        assert await first.result() == "a"
        async with asyncio.timeout(PATIENCE_S):
            await until(second, EventType.RUN_ADMITTED)
        assert await lab.listed(engine, [second.id], status=[Status.PAUSED]) == [second.id]
        assert (await third.describe()).status is Status.PENDING
        await second.resume()
        assert [await second.result(), await third.result()] == ["b", "c"]
        told = [event.type for event in await all_events(third)]
        assert told.count(EventType.RUN_PAUSED) == told.count(EventType.RUN_RESUMED) == 1


async def test_a_fork_may_have_to_wait(lab: Lab, gates: Gates) -> None:
    """A fork needs slots like any run; what was recorded is its own once it begins."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        gates.open("a")
        first = await engine.start(nap_between, "a")
        await first.result()
        holder = await engine.start(nap_between, "hold")
        await gates.reached("hold")
        again = await first.fork(from_step="Gates.note")
        early = await first.fork(from_step="Gates.wait")
        assert await pending(again, early) == [True, True]
        await early.signal("word", "early")
        gates.open("hold")
        await holder.result()
        assert await again.result() == "a nothing"
        assert await early.result() == "a early"
        for run in (again, early):
            fork = await run.fork(from_step="Gates.note")
            assert await fork.result() == await run.result()
        assert gates.calls == [
            "a", "a nothing", "hold", "hold nothing", "a nothing", "a", "a early", "a nothing", "a early"
        ]  # fmt: skip


async def test_who_watches_sees_when_a_run_has_its_place(lab: Lab, gates: Gates) -> None:
    """The events of a run that waited tell when it was admitted; those of others do not."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        runs = [await engine.start(alone, "a") for _ in range(2)]
        gates.open("a")
        told = [[event.type for event in await all_events(run)] for run in runs]
        assert EventType.RUN_ADMITTED not in told[0]
        assert told[1][:2] == [EventType.RUN_STARTED, EventType.RUN_ADMITTED]


async def test_runs_of_a_schedule_have_its_priority(lab: Lab, gates: Gates) -> None:
    """What a schedule starts waits like any run, before those that are less urgent."""
    async with lab.open(WORKFLOWS, [gates]) as engine:
        gates.open("late", "soon")
        runs = [await engine.start(alone, "first"), await engine.start(alone, "late")]
        schedule = await engine.schedule(alone, "soon", id=lab.id("soon"), cron="0 9 29 2 *", priority=1)
        assert (await schedule.describe()).priority == 1
        runs.append(await schedule.run_now())
        gates.open("first")
        for run in runs:
            await run.result()
        assert gates.calls == ["first", "soon", "late"]


async def test_a_schedule_with_a_wrong_key_or_priority_is_refused(lab: Lab) -> None:
    """It is said when the schedule is made, not when its first run is due."""
    async with lab.open(WORKFLOWS, [Gates()]) as engine:
        with pytest.raises(InvalidInputError, match="it must be a str"):
            await engine.schedule(misfit, 1, id=lab.id("a"), cron="0 9 29 2 *")
        with pytest.raises(InvalidInputError, match="from 1, which is served first, to 5"):
            await engine.schedule(free, "a", id=lab.id("a"), cron="0 9 29 2 *", priority=7)
        assert await engine.schedules() == []


async def _result(run: Run[str]) -> str:
    return await run.result()


async def _first(run: Run[Any], count: int) -> AsyncIterator[Event]:
    async for event in run.events():
        yield event
        if event.offset == count:
            return

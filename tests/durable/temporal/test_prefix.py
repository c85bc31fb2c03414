"""A recorded prefix: the same on both engines, so that each goes on with what the other recorded."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.client import Client

from orchestrator import Context, EmbeddedEngine, Retry, TemporalEngine, step, workflow
from orchestrator.core.errors import TerminalError
from orchestrator.durable.entries import split_signal_key
from orchestrator.durable.runs import EventType
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.durable.engine import Engine
    from orchestrator.durable.runs import Prefix, Recorded
    from orchestrator.durable.workflows import Workflow
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal

HOUR_S = 3600.0


class Works:
    """A step that fails at its first attempt, and one that fails for good."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    @step(retry=Retry(attempts=2, backoff=(0.01,)))
    async def try_twice(self, name: str) -> str:
        """Fail once."""
        self.calls.append(name)
        if self.calls.count(name) == 1:
            raise ValueError("not yet")
        return name

    @step
    async def break_down(self) -> None:
        """Fail."""
        self.calls.append("broken")
        raise TerminalError("broken", code="worn_out")


@workflow
async def everything(ctx: Context, topic: str) -> list[Any]:
    """Ask for something of each kind, and then for a step that waits."""
    begun = ctx.now()
    tried = await ctx.run(Works.try_twice, topic)
    ctx.publish("tried", {"of": tried})
    try:
        await ctx.run(Works.break_down)
    except TerminalError as error:
        tried += f" {error.code}"
    heard = await ctx.receive("say", str)
    try:
        async with asyncio.timeout(0.01):
            await ctx.receive("never")
    except TimeoutError:
        await ctx.sleep(0.01)
    first, second = await ctx.gather(ctx.run(Gates.note, "a"), ctx.sleep(0.01))
    took = (ctx.now() - begun).total_seconds()
    result: list[Any] = [tried, heard, first, second, str(ctx.uuid()), took]
    return [*result, await ctx.run(Gates.wait, "last")]


@pytest.fixture
def gates() -> Gates:
    """Steps that the test can hold."""
    return Gates()


class Both:
    """The two engines, each of a storage of its own."""

    def __init__(self, path: Path, address: str, steps: list[object]) -> None:
        self._path = path
        self._address = address
        self._steps = steps
        self._queue = f"prefix-{uuid.uuid4()}"

    def embedded(self, *workflows: Workflow[Any, Any]) -> EmbeddedEngine:
        """The one on a file."""
        return EmbeddedEngine(self._path, workflows=workflows, steps=self._steps)

    def temporal(self, *workflows: Workflow[Any, Any]) -> TemporalEngine:
        """The one on a server."""
        return TemporalEngine(self._address, workflows=workflows, steps=self._steps, task_queue=self._queue)


@pytest.fixture
def works() -> Works:
    """Steps that fail."""
    return Works()


@pytest.fixture
def both(tmp_path: Path, temporal_server: TemporalServer, gates: Gates, works: Works) -> Both:
    """Two engines with the same steps."""
    return Both(tmp_path / "runs.db", temporal_server.address, [gates, works])


async def run_everything(engine: Engine) -> tuple[list[Any], Prefix]:
    """A run of `everything` to its end: its result, and what it recorded before its last step."""
    run = await engine.start(everything, "tea")
    await run.signal("say", "hello", id="greeting")
    return await run.result(), await run.recorded(until="Gates.wait")


async def test_both_engines_record_the_same(both: Both, gates: Gates, works: Works) -> None:
    """The same types, keys and data in the same order, whichever engine ran the workflow."""
    gates.open("last")
    recorded = []
    for engine in (both.embedded(everything), both.temporal(everything)):
        works.calls.clear()
        async with engine:
            _, prefix = await run_everything(engine)
        recorded.append(prefix)
    there, here = (sorted(map(told, prefix.entries)) for prefix in recorded)
    # Steps side by side may end in another order than they did elsewhere; nothing else is open to chance.
    assert there == here


def told(entry: Recorded) -> tuple[str, str, bytes]:
    """What an entry holds that depends neither on the time nor on where its code stands in a file."""
    return entry.type, entry.key, b"" if entry.type is EventType.STEP_FAILED else entry.data


@pytest.mark.parametrize("from_embedded", [True, False])
async def test_a_prefix_of_one_engine_begins_a_run_on_the_other(
    both: Both, gates: Gates, works: Works, *, from_embedded: bool
) -> None:
    """Nothing of it runs again; results, errors, signals, times and randomness are what they were."""
    gates.open("last")
    engines: tuple[Any, Any] = (both.embedded(everything), both.temporal(everything))
    first, second = engines if from_embedded else reversed(engines)
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(first)
        await opened.enter_async_context(second)
        result, prefix = await run_everything(first)
        works.calls.clear()
        gates.calls.clear()
        copy = await second.start(everything, "tea", prefix=prefix)
        assert await copy.result() == result
        assert works.calls == []
        assert gates.calls == ["last"]
        again = await copy.recorded(until="Gates.wait")
        assert again.seed == prefix.seed
        assert again.entries == prefix.entries
        events = [(event.type, event.name, event.at) for event in await all_events(copy)]
    names = [(kind, name) for kind, name, _ in events]
    assert (EventType.PUBLISHED, "tried") in names
    assert (EventType.SIGNAL_RECEIVED, split_signal_key("greeting:say")[1]) in names
    assert events[0][2].timestamp() == pytest.approx(prefix.began_at)
    assert names.count((EventType.STEP_STARTED, "Gates.wait")) == 1


async def test_a_wait_keeps_its_deadline(both: Both, gates: Gates, temporal_server: TemporalServer) -> None:
    """What a run slept before it is taken over is not slept again; a fork sleeps on from where it was."""

    @workflow
    async def nap(ctx: Context) -> None:
        await ctx.gather(ctx.sleep(HOUR_S), stir(ctx))

    async def stir(ctx: Context) -> None:
        await ctx.run(Gates.note, "one")
        await ctx.run(Gates.wait, "gate")

    async with both.temporal(nap) as engine:
        run = await engine.start(nap)
        await gates.reached("gate")
        prefix = await run.recorded(until="Gates.wait")
        earlier = replace(
            prefix,
            began_at=prefix.began_at - 1000,
            entries=tuple(replace(entry, at=entry.at - 1000) for entry in prefix.entries),
        )
        moved = await engine.start(nap, prefix=earlier)
        fork = await run.fork(from_step="Gates.wait")
        client = await Client.connect(temporal_server.address)
        await moved.signal("turn")
        assert await first_timer(client, moved.id) == pytest.approx(HOUR_S - 1000, abs=60)
        assert await first_timer(client, fork.id) == pytest.approx(HOUR_S, abs=60)
        for one in (run, moved, fork):
            await one.cancel(force_after=0)


async def first_timer(client: Client, run_id: str) -> float:
    """The seconds of the first timer that a run sets."""
    async for event in client.get_workflow_handle(run_id).fetch_history_events(wait_new_event=True):
        if event.event_type == Kind.EVENT_TYPE_TIMER_STARTED:
            return event.timer_started_event_attributes.start_to_fire_timeout.ToMilliseconds() / 1000
    raise AssertionError("it sets no timer")


async def test_code_that_does_not_fit_is_tried_again(both: Both, gates: Gates, works: Works) -> None:
    """The workflow task fails with what was expected and what came, and the right code goes on."""

    @workflow(name="meal")
    async def before(ctx: Context) -> list[str]:
        return [await ctx.run(Gates.note, "soup"), await ctx.run(Gates.wait, "last")]

    @workflow(name="meal")
    async def after(ctx: Context) -> list[str]:
        await ctx.run(Works.try_twice, "fish")
        return [await ctx.run(Gates.note, "soup"), await ctx.run(Gates.wait, "last")]

    gates.open("last")
    async with both.embedded(before) as engine:
        run = await engine.start(before)
        await run.result()
        prefix = await run.recorded(until="Gates.wait")
    async with both.temporal(after) as other:
        copy = await other.start(after, prefix=prefix)
        message = await first_task_failure(other, copy.id)
        assert (
            "the history has operation 1:Gates.note, but the code at this point asks for 1:Works" in message
        )
    gates.calls.clear()
    async with both.temporal(before) as mended:
        assert await (await mended.get(copy.id)).result() == ["soup", "last"]
        assert gates.calls == ["last"]
        assert works.calls == []


async def first_task_failure(engine: TemporalEngine, run_id: str) -> str:
    """Why the first workflow task of a run that failed did so."""
    client = engine._connected()  # to see what the server has
    async for event in client.get_workflow_handle(run_id).fetch_history_events(wait_new_event=True):
        if event.event_type == Kind.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            return event.workflow_task_failed_event_attributes.failure.message
    raise AssertionError("no workflow task failed")

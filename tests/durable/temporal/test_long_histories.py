"""Runs whose history is long go on in a new one, and nobody sees it but the server."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import Client

from orchestrator import Context, EmbeddedEngine, TemporalEngine, step, step_info, workflow
from orchestrator.durable.entries import step_key
from orchestrator.durable.errors import RunCancelledError
from orchestrator.durable.runs import EventType, Prefix, Recorded, Status
from orchestrator.durable.temporal import going_on
from support.contract_lab import all_events
from support.services import own_temporal_server
from support.stream_lab import embedded_streams

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orchestrator.durable.engine import Engine, Run
    from orchestrator.durable.runs import Event
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal

# A step takes six events, so a history has about a dozen of them here.
LONG = 80
STEPS = 40
HOUR_S = 3600.0


@pytest.fixture(scope="module")
def hasty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """A server to which a history is long after some steps."""
    settings = {"limit.historyCount.suggestContinueAsNew": str(LONG)}
    with own_temporal_server(tmp_path_factory.mktemp("hasty"), settings=settings) as server:
        yield server


class Ledger:
    """Steps that say with which key they were called."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    @step
    async def add(self, number: int) -> int:
        """Give the number again."""
        self.keys.append(step_info().idempotency_key)
        return number


@workflow
async def counts(ctx: Context, steps: int) -> list[Any]:
    """Make so many steps, each with a random number, and tell of some; then wait for a word, and again."""
    begun, seen = ctx.now(), []
    for number in range(steps):
        await ctx.run(Ledger.add, number)
        seen.append(ctx.random.random())
        if number % 10 == 0:
            ctx.publish("ten", number)
    word = await ctx.receive("word", str)
    for number in range(steps):
        await ctx.run(Ledger.add, number)
    return [
        word,
        await ctx.receive("word", str),
        len(set(seen)),
        (ctx.now() - begun).total_seconds() < HOUR_S,
    ]


@pytest.fixture(params=[0, 1_000], ids=["replaying", "resident"])
def options(request: pytest.FixtureRequest, hasty_server: TemporalServer, tmp_path: Path) -> dict[str, Any]:
    """How engines on that server are opened."""
    return {
        "address": hasty_server.address,
        "task_queue": f"long-{uuid.uuid4()}",
        "resident_runs": request.param,
        "value_store": tmp_path / "values",
    }


async def histories(options: dict[str, Any], run: Run[Any]) -> list[str]:
    """The server's ids of a run's histories, the present one first."""
    client = await Client.connect(options["address"])
    found, history = [], ""
    while True:
        handle = client.get_workflow_handle(run.id, run_id=history or None)
        began = await anext(handle.fetch_history_events(page_size=1))
        facts = began.workflow_execution_started_event_attributes
        found.append(facts.original_execution_run_id)
        history = facts.continued_execution_run_id
        if not history:
            return found


async def until(run: Run[Any], kind: EventType, count: int) -> list[Event]:
    """The events up to the one of that kind and number."""
    found = []
    async for event in run.events():
        found.append(event)
        count -= event.type is kind
        if not count:
            break
    return found


async def through(engine: Engine, run_id: str) -> Run[Any]:
    """A run of `counts`, brought to its end; some signals are sent twice."""
    run = await engine.start(counts, STEPS, id=run_id, owner="o", tags={"k": "v"})
    seen = await until(run, EventType.STEP_COMPLETED, STEPS)
    await run.signal("word", "one", id="1")
    await run.signal("word", "one", id="1")
    assert (await engine.start(counts, STEPS, id=run.id)).id == run.id
    await until(run, EventType.STEP_COMPLETED, STEPS + 20)
    await run.signal("word", "one", id="1")
    await run.signal("word", "two", id="2")
    assert await run.result() == ["one", "two", STEPS, True]
    assert (await all_events(run))[: len(seen)] == seen
    return run


async def test_nobody_sees_that_a_long_run_goes_on(options: dict[str, Any], tmp_path: Path) -> None:
    """Its code and its watchers see what they see on the embedded engine, and so does its fork."""
    run_id = f"long-{uuid.uuid4()}"
    here, there = Ledger(), Ledger()
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[counts], steps=[here]) as embedded:
        wanted = await all_events(await through(embedded, run_id))
    async with (
        embedded_streams(tmp_path / "streams.db") as streams,
        TemporalEngine(**options, workflows=[counts], steps=[there], streams=streams) as engine,
    ):
        run = await through(engine, run_id)
        assert len(await histories(options, run)) > 4
        assert there.keys == here.keys
        events = await all_events(run)
        assert [event.offset for event in events] == list(range(1, len(wanted) + 1))
        assert _seen(events) == _seen(wanted)
        info = await run.describe()
        assert (info.status, info.owner, info.tags) == (Status.COMPLETED, "o", {"k": "v"})
        assert events[0].at - info.created_at < timedelta(minutes=1)
        steps = await run.steps()
        assert [f"{run.id}/{view.operation}:{view.name}" for view in steps] == there.keys
        fork = await run.fork(from_step=steps[-2].operation)
        assert await fork.result() == ["one", "two", STEPS, True]
        assert len(there.keys) == 2 * STEPS + 2
    async with TemporalEngine(**options, workflows=[counts], steps=[there]) as engine:
        assert await all_events(await engine.get(run_id)) == events


def _seen(events: Sequence[Event]) -> list[tuple[object, ...]]:
    """What watchers see, but for arguments, which Temporal alone shows; signals come at any time, so last."""
    seen: list[tuple[object, ...]] = []
    for event in sorted(events, key=lambda event: event.type is EventType.SIGNAL_RECEIVED):
        data = None if event.type is EventType.STEP_STARTED else event.data
        seen.append((event.type, event.name, event.operation, event.attempt, data))
    return seen


@workflow
async def child(ctx: Context) -> str:
    """Wait for a word."""
    return await ctx.receive("word", str)


@workflow
async def parent(ctx: Context, steps: int) -> list[Any]:
    """A child, a deadline that is far away, and steps side by side; then clean up after a cancel."""

    async def late() -> str:
        return await ctx.receive("stop", str, timeout=HOUR_S)

    async def numbers() -> int:
        return sum(await ctx.map(Ledger.add, range(steps), at_once=3))

    told, stopped, total = await ctx.gather(
        ctx.child(child, id=f"{ctx.info.run_id}-child"), late(), numbers()
    )
    try:
        await ctx.sleep(HOUR_S)
    finally:
        cleaned = await ctx.run(Ledger.add, -1)
    return [told, stopped, total, cleaned]


async def test_what_is_open_stays_open(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait keeps its deadline; with an open child a run goes on as it is, and anew after it."""
    monkeypatch.setattr(going_on, "HOLD_S", 0.05)
    monkeypatch.setattr(going_on, "EVENTS_BETWEEN_TRIES", 20)
    ledger = Ledger()
    async with TemporalEngine(**options, workflows=[parent, child], steps=[ledger]) as engine:
        run = await engine.start(parent, STEPS, id=f"open-{uuid.uuid4()}")
        await until(run, EventType.STEP_COMPLETED, 20)
        assert len(await histories(options, run)) == 1
        await (await engine.get(f"{run.id}-child")).signal("word", "here")
        await until(run, EventType.STEP_COMPLETED, STEPS)
        assert len(await histories(options, run)) > 1
        dues = await deadlines(options, run)
        assert max(dues) - min(dues) < 1
        await run.signal("stop", "now")
        await run.pause()
        await run.resume()
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        assert len(ledger.keys) == len(set(ledger.keys)) == STEPS + 1


async def deadlines(options: dict[str, Any], run: Run[Any]) -> list[float]:
    """When the wait for the word to stop is over, as each history of the run has it: seconds since 1970."""
    client = await Client.connect(options["address"])
    found = []
    for history in await histories(options, run):
        async for event in client.get_workflow_handle(run.id, run_id=history).fetch_history_events():
            facts = event.timer_started_event_attributes
            left_s = facts.start_to_fire_timeout.ToNanoseconds() / 1e9
            if event.user_metadata.HasField("summary") and left_s:
                found.append(event.event_time.ToNanoseconds() / 1e9 + left_s)
    return found


@workflow
async def long(ctx: Context, steps: int) -> int:
    """Make so many steps, then wait for a word."""
    total = 0
    for number in range(steps):
        total += await ctx.run(Ledger.add, number)
    await ctx.receive("word")
    return total


def recorded(steps: int) -> Prefix:
    """What `long` has recorded after so many steps."""
    entries = []
    for number in range(steps):
        key = step_key(f"{number + 1}:Ledger.add", 1)
        entries.append(Recorded(EventType.STEP_STARTED, key, number, b""))
        entries.append(Recorded(EventType.STEP_COMPLETED, key, number, str(number).encode()))
    return Prefix(b"seed", 0.0, tuple(entries))


async def test_a_very_long_prefix_is_told_in_turns(options: dict[str, Any]) -> None:
    """Temporal gives a worker's code two seconds for one turn; telling all of it at once takes longer."""
    steps = 10_000
    ledger = Ledger()
    async with TemporalEngine(**options, workflows=[long], steps=[ledger]) as engine:
        run = await engine.start(long, steps, id=f"told-{uuid.uuid4()}", prefix=recorded(steps))
        await run.signal("word")
        assert await run.result() == sum(range(steps))
    assert not ledger.keys

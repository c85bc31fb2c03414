"""Watching runs on Temporal from several processes, through what goes away meanwhile."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, Retry, TemporalEngine, progress, step, workflow
from orchestrator.core.errors import NotFoundError
from orchestrator.core.redaction import NO_SECRETS_KNOWN
from orchestrator.durable.errors import EngineStoppedError, RunFailedError, RunTerminatedError
from orchestrator.durable.runs import EventType, Status
from orchestrator.durable.temporal import namespace, watching
from orchestrator.durable.temporal import progress as progress_module
from orchestrator.durable.temporal.beginnings import arguments
from orchestrator.durable.temporal.event_log import log_name
from orchestrator.durable.temporal.standing import describe
from orchestrator.streams import RedisStreams
from support.contract_lab import PATIENCE_S, Gates, all_events
from support.redis_server import own_redis_server
from support.stream_lab import embedded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.durable.runs import Event
    from orchestrator.streams import Streams
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@step(retry=Retry(attempts=2, backoff=(0.0,)))
async def write(words: int) -> str:
    """Say each word, fail once, and say them again."""
    for number in range(words):
        progress({"word": number})
    if words == 3 and not said:
        said.append("once")
        raise ConnectionError("not now")
    return "written"


said: list[str] = []


@workflow
async def lesson(ctx: Context, words: int) -> str:
    """Write, wait at a gate, and write again."""
    await ctx.run(write, words)
    await ctx.run(Gates.wait, "gate")
    return await ctx.run(write, words)


@workflow
async def held(ctx: Context) -> str:
    """Wait in a step."""
    return await ctx.run(Gates.wait, "gate")


class Room:
    """Engines of one task queue, each with streams of its own to the same place."""

    def __init__(self, server: TemporalServer, gates: Gates) -> None:
        self.queue = f"watching-{uuid.uuid4()}"
        self.address = server.address
        self.gates = gates

    def engine(self, streams: Streams | None, **options: object) -> TemporalEngine:
        """One more engine."""
        return TemporalEngine(
            self.address,
            workflows=[lesson, held],
            steps=[write, self.gates],
            task_queue=self.queue,
            streams=streams,
            **options,  # type: ignore[arg-type]  # as the test says
        )


@pytest.fixture
def room(temporal_server: TemporalServer) -> Room:
    """Where one test's engines meet."""
    said.clear()
    return Room(temporal_server, Gates())


@asynccontextmanager
async def two_engines(room: Room, redis_url: str) -> AsyncIterator[list[TemporalEngine]]:
    """Two engines with connections of their own, as two processes have them; the second only watches."""
    prefix = f"watching-{uuid.uuid4()}"
    async with AsyncExitStack() as opened:
        engines = []
        for works in (True, False):
            streams = await opened.enter_async_context(RedisStreams(redis_url, prefix=prefix))
            engines.append(await opened.enter_async_context(room.engine(streams, works=works)))
        yield engines


async def log_of(engine: TemporalEngine, run_id: str) -> str:
    """The name of a run's log."""
    assert engine._client
    description = await describe(engine._client, run_id)
    return log_name(run_id, description.workflow_execution_info.first_run_id)


async def test_all_watchers_see_the_same(room: Room, redis_url: str) -> None:
    """Live in two processes, before the run begins to speak and in its midst: events and offsets agree."""
    async with two_engines(room, redis_url) as engines:
        run = await engines[0].start(lesson, 3)
        watchers = [asyncio.create_task(all_events(await engine.get(run.id))) for engine in engines * 2]
        await room.gates.reached("gate")
        watchers += [asyncio.create_task(all_events(await engine.get(run.id))) for engine in engines]
        room.gates.open("gate")
        async with asyncio.timeout(PATIENCE_S):
            seen = await asyncio.gather(*watchers)
    assert [event.offset for event in seen[0]] == list(range(1, len(seen[0]) + 1))
    assert all(events == seen[0] for events in seen)
    kinds = [event.type for event in seen[0]]
    assert kinds.count(EventType.STEP_PROGRESS) == 9
    assert kinds[1:9] == [
        EventType.STEP_STARTED,
        *[EventType.STEP_PROGRESS] * 3,
        EventType.STEP_RETRYING,
        *[EventType.STEP_PROGRESS] * 3,
    ]
    assert kinds[-1] is EventType.RUN_COMPLETED


async def test_a_watcher_that_comes_back_sees_the_rest(room: Room, redis_url: str) -> None:
    """After each offset, in turns by either process, while the run goes on: no gap, nothing twice."""
    async with two_engines(room, redis_url) as engines:
        run = await engines[0].start(lesson, 2)
        handles = [await engine.get(run.id) for engine in engines]
        events: list[Event] = []
        room.gates.open("gate")
        async with asyncio.timeout(PATIENCE_S):
            while not events or events[-1].type is not EventType.RUN_COMPLETED:
                watch = handles[len(events) % 2].events(after=len(events))
                async with aclosing(watch) as watcher:  # type: ignore[type-var]  # a generator
                    events.append(await anext(watcher))
        assert await all_events(run) == events
        assert await all_events(handles[1], len(events)) == []


async def test_the_end_of_a_run_that_was_terminated_is_shown(room: Room, redis_url: str) -> None:
    """Nobody of its code tells of it; the history does."""
    async with two_engines(room, redis_url) as engines:
        run = await engines[0].start(held)
        watcher = asyncio.create_task(all_events(await engines[1].get(run.id)))
        await room.gates.reached("gate")
        await run.cancel(force_after=0)
        with pytest.raises(RunTerminatedError):
            await run.result()
        async with asyncio.timeout(PATIENCE_S):
            assert (await watcher)[-1].type is EventType.RUN_TERMINATED


async def test_a_run_that_its_cluster_ended_in_time_is_told_of(room: Room, redis_url: str) -> None:
    """We give runs no time limit, but an operator may: its end is shown, and says so."""
    async with two_engines(room, redis_url) as engines:
        client = engines[0]._connected()
        run_id = f"limited-{uuid.uuid4()}"
        beginning = arguments(b"null")
        await client.start_workflow(
            "held", args=beginning, id=run_id, task_queue=room.queue, execution_timeout=timedelta(seconds=1)
        )
        run = await engines[1].get(run_id)
        async with asyncio.timeout(PATIENCE_S):
            events = await all_events(run)
        with pytest.raises(RunFailedError, match="longer than its cluster allows"):
            await run.result()
        info = await run.describe()
    assert (events[-1].type, info.status) == (EventType.RUN_FAILED, Status.TIMED_OUT)
    assert "longer than its cluster allows" in info.reason


async def test_an_engine_that_closes_tells_its_watchers(room: Room, redis_url: str) -> None:
    """They do not wait for ever."""
    async with two_engines(room, redis_url) as engines:
        run = await engines[0].start(held)
        watcher = asyncio.create_task(all_events(await engines[1].get(run.id)))
        await room.gates.reached("gate")
        await engines[1].__aexit__(None, None, None)
        with pytest.raises(EngineStoppedError, match="closed while"):
            async with asyncio.timeout(PATIENCE_S):
                await watcher
        room.gates.open("gate")
        await run.result()


async def test_who_begins_to_watch_on_a_closed_engine_is_told(room: Room, redis_url: str) -> None:
    """However far its watch had come when the engine closed: nobody would carry events over for it."""
    async with two_engines(room, redis_url) as engines:
        run = await engines[0].start(held)
        watched = await engines[1].get(run.id)
        await engines[1].__aexit__(None, None, None)
        with pytest.raises(EngineStoppedError, match="closed while"):
            async with asyncio.timeout(PATIENCE_S):
                await all_events(watched)
        room.gates.open("gate")
        await run.result()


async def test_a_log_goes_with_its_run(room: Room, tmp_path: Path) -> None:
    """Some time after the run's end, also where nobody watched; and at once when the run is deleted."""
    async with embedded(tmp_path) as lab, room.engine(lab.streams) as engine:
        room.gates.open("gate")
        runs = [await engine.start(lesson, 1) for _ in range(2)]
        logs = []
        for run in runs:
            await run.result()
            logs.append(await log_of(engine, run.id))
            async with asyncio.timeout(PATIENCE_S), aclosing(lab.streams.follow(logs[-1])) as entries:
                async for entry in entries:
                    if entry.type == EventType.RUN_COMPLETED:
                        break
        events = await all_events(runs[0])
        await engine.delete(runs[1].id)
        assert await lab.streams.read(logs[1]) == []
        with pytest.raises(NotFoundError):
            await all_events(runs[1])
        await lab.pass_time(watching_retention_s := 366 * 86_400)
        assert watching_retention_s > await namespace.retention_s(engine._connected())
        assert await lab.streams.read(logs[0]) == []
        rest = [event for event in events if event.type is not EventType.STEP_PROGRESS]
        again = await all_events(runs[0])
        assert [event.type for event in again] == [event.type for event in rest]


async def test_without_streams_events_come_from_the_history(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """Without progress and retries, and one warning says what progress needs."""
    async with room.engine(None) as engine:
        room.gates.open("gate")
        run = await engine.start(lesson, 3)
        await run.result()
        events = await all_events(run)
    kinds = {event.type for event in events}
    assert EventType.STEP_COMPLETED in kinds
    assert not kinds & {EventType.STEP_PROGRESS, EventType.STEP_RETRYING}
    assert caplog.text.count("TemporalEngine(streams=…)") == 1


async def test_steps_go_on_while_redis_is_away(
    room: Room, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they say then is lost after a time, which is logged once; watchers go on when it is back."""
    monkeypatch.setattr(watching, "STORED_WITHIN_S", 0.3)
    caplog.set_level(logging.WARNING)
    with own_redis_server(tmp_path) as redis:
        async with RedisStreams(redis.url) as streams, room.engine(streams) as engine:
            run = await engine.start(lesson, 2)
            watcher = asyncio.create_task(all_events(run))
            await room.gates.reached("gate")
            redis.stop()
            room.gates.open("gate")
            other = await engine.start(lesson, 2)
            assert await run.result() == "written"
            assert await other.result() == "written"
            assert not watcher.done()
            redis.start()
            async with asyncio.timeout(PATIENCE_S):
                events = await watcher
            assert await all_events(run) == events
    assert caplog.text.count("are lost: server or event streams did not take them") == 1
    assert [event.offset for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type is EventType.RUN_COMPLETED


async def test_a_step_that_says_too_much_is_cut_short(
    room: Room, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one attempt only so much, no secrets, and nothing without a JSON form; the rest is logged."""
    monkeypatch.setattr(progress_module, "MOST_ROWS", 2)

    @step
    async def babble() -> None:
        for value in ({"password": "hunter22"}, object(), 3, 4):
            progress(value)

    @workflow
    async def talk(ctx: Context) -> None:
        await ctx.run(babble)

    async with embedded(tmp_path) as lab:
        engine = TemporalEngine(
            room.address, workflows=[talk], steps=[babble], task_queue=room.queue, streams=lab.streams
        )
        async with engine:
            run = await engine.start(talk)
            await run.result()
            events = await all_events(run)
    assert [event.data for event in events if event.type is EventType.STEP_PROGRESS] == [{"password": "***"}]
    assert "reports too much" in caplog.text
    assert "progress of step babble is not shown" in caplog.text


async def test_a_run_may_be_carried_over_twice_in_one_process(room: Room, tmp_path: Path) -> None:
    """As for a watcher and at the run's end: who comes second to the last event finds no more."""
    async with embedded(tmp_path) as lab, room.engine(lab.streams) as engine:
        run = await engine.start(lesson, 2)
        room.gates.open("gate")
        await run.result()
        info = (await describe(engine._connected(), run.id)).workflow_execution_info
        carrier = watching.Watching(engine._connected(), lab.streams, 60.0, NO_SECRETS_KNOWN)
        projection = await carrier.of_step(run.id, info.first_run_id)
        await asyncio.gather(*(projection.go_on_for_ever() for _ in range(3)))
        assert (await all_events(run))[-1].offset == projection.last_offset.result()

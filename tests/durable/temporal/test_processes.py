"""Engines that start runs, engines that work on them, and what both know of the cluster."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, TemporalEngine, step, workflow
from orchestrator.core.errors import TerminalError, UnavailableError
from orchestrator.durable.errors import EngineStoppedError, RunCancelledError, RunFailedError
from orchestrator.durable.runs import Status
from support.contract_lab import Gates
from support.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.runs import RunInfo
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal

PATIENCE_S = 20.0
LOOK_AGAIN_S = 0.02
COUNT_EVERY_S = 0.3  # a server answers few such questions a second


@workflow
async def held(ctx: Context) -> str:
    """Wait in a step."""
    return await ctx.run(Gates.wait, "gate")


@workflow
async def sleepy(ctx: Context) -> None:
    """Leave memory at every wait, and end at last."""
    for _ in range(3):
        await ctx.sleep(0.01)


@workflow
async def sorry(ctx: Context) -> None:
    """Fail."""
    raise TerminalError("sorry")


@step
async def own_process() -> str:
    """Nothing that needs another process."""
    return "done"


@pytest.fixture
def queue() -> str:
    """A task queue of the test's own."""
    return f"processes-{uuid.uuid4()}"


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another process or task brings about.

    Raises:
        TimeoutError: it does not come about.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # the cluster tells nobody
            await asyncio.sleep(LOOK_AGAIN_S)


async def test_one_process_starts_runs_and_another_works_on_them(
    temporal_server: TemporalServer, queue: str
) -> None:
    """Without a worker a run is started and found, and waits; a worker that comes later takes it up."""
    gates = Gates()
    gates.open("gate")
    starter = TemporalEngine(temporal_server.address, task_queue=queue, works=False)
    starter.add(workflows=[held], steps=[gates])
    worker = TemporalEngine(temporal_server.address, workflows=[held], steps=[gates], task_queue=queue)
    async with starter:
        run = await starter.start(held)
        assert not (await run.describe()).status.closed
        async with worker:
            assert await run.result() == "gate"


async def test_nothing_is_added_to_an_open_engine(temporal_server: TemporalServer, queue: str) -> None:
    """Its worker has been told already what there is."""
    async with TemporalEngine(temporal_server.address, workflows=[sorry], task_queue=queue) as engine:
        with pytest.raises(RuntimeError, match="before the engine is opened"):
            engine.add(steps=[own_process])


async def test_runs_are_told_of_once_as_they_end(temporal_server: TemporalServer, queue: str) -> None:
    """Completed, failed and cancelled ones, however often their code is replayed before."""
    told: list[RunInfo] = []
    engine = TemporalEngine(
        temporal_server.address,
        workflows=[held, sleepy, sorry],
        steps=[gates := Gates()],
        task_queue=queue,
        resident_runs=0,
        on_ended=told.append,
    )
    async with engine:
        completed = await engine.start(sleepy)
        await completed.result()
        failed = await engine.start(sorry)
        with pytest.raises(RunFailedError):
            await failed.result()
        cancelled = await engine.start(held)
        await gates.reached("gate")
        await cancelled.cancel()
        with pytest.raises(RunCancelledError):
            await cancelled.result()
        still_open = await engine.start(held)
    assert [(info.id, info.workflow, info.status) for info in told] == [
        (completed.id, "sleepy", Status.COMPLETED),
        (failed.id, "sorry", Status.FAILED),
        (cancelled.id, "held", Status.CANCELLED),
    ]
    assert all(info.closed_at is not None and info.closed_at >= info.created_at for info in told)
    assert still_open.id not in {info.id for info in told}


async def test_open_runs_are_counted(
    temporal_server: TemporalServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the task queue, in whatever process they were started."""
    monkeypatch.setattr("orchestrator.durable.temporal.engine.COUNT_EVERY_S", COUNT_EVERY_S)
    gates = Gates()
    engine = TemporalEngine(temporal_server.address, workflows=[held], steps=[gates], task_queue=queue)
    async with engine, TemporalEngine(temporal_server.address, task_queue=queue, works=False) as other:
        run = await engine.start(held)
        await until(lambda: (engine.active, other.active) == (1, 1))
        gates.open("gate")
        await run.result()
        await until(lambda: (engine.active, other.active) == (0, 0))


async def test_what_cannot_be_reached_is_said(temporal_server: TemporalServer, queue: str) -> None:
    """No server, and a server without the namespace, by address and by name; the engine need not be open."""
    nowhere = TemporalEngine(f"{LOOPBACK}:{free_port()}", task_queue=queue)
    with pytest.raises(UnavailableError, match=r"answers at 127\.0\.0\.1:\d+: Connection refused$"):
        await nowhere.reach()
    stranger = TemporalEngine(temporal_server.address, namespace="elsewhere", task_queue=queue)
    with pytest.raises(UnavailableError, match="has no namespace 'elsewhere'"):
        await stranger.reach()
    with pytest.raises(UnavailableError, match="has no namespace 'elsewhere'"):
        await stranger.__aenter__()
    await TemporalEngine(temporal_server.address, task_queue=queue).reach()


async def test_an_engine_that_is_closed_does_no_part(temporal_server: TemporalServer, queue: str) -> None:
    """Open, with or without a worker, it has nothing to complain of."""
    for works in (True, False):
        engine = TemporalEngine(temporal_server.address, workflows=[sorry], task_queue=queue, works=works)
        with pytest.raises(EngineStoppedError, match="not running"):
            engine.check()
        async with engine:
            engine.check()


async def test_steps_get_their_time_when_an_engine_is_closed(
    temporal_server: TemporalServer, queue: str
) -> None:
    """A step that ends within it is done; the run goes on elsewhere, and it is not made again."""
    gates = Gates()
    engine = TemporalEngine(
        temporal_server.address, workflows=[held], steps=[gates], task_queue=queue, finish_s=PATIENCE_S
    )
    async with engine:
        run_id = (await engine.start(held)).id
        await gates.reached("gate")
        asyncio.get_running_loop().call_later(0.2, gates.open, "gate")
    assert gates.ended == ["gate"]
    async with TemporalEngine(
        temporal_server.address, workflows=[held], steps=[gates], task_queue=queue
    ) as next_engine:
        assert await (await next_engine.get(run_id)).result() == "gate"
    assert gates.calls == ["gate"]

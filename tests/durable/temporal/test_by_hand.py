"""Operators who use Temporal's own tools on our runs."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest
from temporalio.api.workflowservice.v1 import PauseWorkflowExecutionRequest

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.durable.errors import RunTerminatedError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import PATIENCE_S, Gates, all_events
from support.stream_lab import embedded_streams

if TYPE_CHECKING:
    from pathlib import Path

    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def ask(ctx: Context) -> list[object]:
    """Take three answers, and pass a gate."""
    answers: list[object] = [await ctx.receive("answer") for _ in range(3)]
    await ctx.run(Gates.wait, "gate")
    return answers


async def test_signals_of_the_temporal_cli_are_received(temporal_server: TemporalServer) -> None:
    """They bring data alone or nothing, and each counts; watchers and forks see them as any others."""
    gates = Gates()
    gates.open("gate")
    queue = f"by-hand-{uuid.uuid4()}"
    engine = TemporalEngine(temporal_server.address, workflows=[ask], steps=[gates], task_queue=queue)
    async with engine, asyncio.timeout(PATIENCE_S):
        run = await engine.start(ask)
        by_hand = engine._connected().get_workflow_handle(run.id)
        await by_hand.signal("answer", "yes")
        await by_hand.signal("answer", "yes")
        await by_hand.signal("answer")
        assert await run.result() == ["yes", "yes", None]
        told = [event.data for event in await all_events(run) if event.type is EventType.SIGNAL_RECEIVED]
        assert told == ["yes", "yes", None]
        fork = await run.fork(from_step="Gates.wait")
        assert await fork.result() == ["yes", "yes", None]


async def test_a_run_that_is_paused_on_the_server_is_read_and_ended(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    """By the server's own pause, which the SDK does not know; who watches or waits meanwhile does so on."""
    queue = f"by-hand-{uuid.uuid4()}"
    async with embedded_streams(tmp_path / "streams.db") as streams, asyncio.timeout(PATIENCE_S):
        engine = TemporalEngine(temporal_server.address, workflows=[ask], task_queue=queue, streams=streams)
        async with engine:
            run = await engine.start(ask)
            client = engine._connected()
            wish = PauseWorkflowExecutionRequest(
                namespace=client.namespace, workflow_id=run.id, request_id=str(uuid.uuid4())
            )
            await client.workflow_service.pause_workflow_execution(wish)
            assert (await run.describe()).status is Status.PAUSED
            assert await run.steps() == []
            watcher = asyncio.create_task(all_events(run))
            waiter = asyncio.create_task(run.result())
            await asyncio.wait([waiter], timeout=0.5)
            assert not waiter.done()
            await run.cancel(force_after=0.01)
            with pytest.raises(RunTerminatedError):
                await waiter
            assert (await watcher)[-1].type is EventType.RUN_TERMINATED

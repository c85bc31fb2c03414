"""Deadlines for cancelled runs on Temporal: `cancel(force_after=…)` above 0."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest
from temporalio.service import RPCError

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.durable.errors import RunCancelledError, RunTerminatedError
from support.contract_lab import PATIENCE_S, Gates

if TYPE_CHECKING:
    from temporalio.client import Client

    from orchestrator.durable.temporal.runs import TemporalRun
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def slow(ctx: Context) -> None:
    """Wait in a step, and clean up for as long as that takes."""
    try:
        await ctx.run(Gates.wait, "gate")
    finally:
        await ctx.run(Gates.wait, "cleanup")


def engine_on(server: TemporalServer, queue: str, gates: Gates) -> TemporalEngine:
    """An engine of this file's workflow."""
    return TemporalEngine(server.address, workflows=[slow], steps=[gates], task_queue=queue)


async def wish_of(client: Client, run: TemporalRun[None]) -> str:
    """The id of the workflow that is to end a run."""
    description = await client.get_workflow_handle(run.id).describe()
    return f"orchestrator:force:{run.id}:{description.run_id}"


async def test_a_deadline_passes_while_no_worker_is_there(temporal_server: TemporalServer) -> None:
    """It is the server's, so the first engine that comes back ends the run."""
    gates, queue = Gates(), f"own-{uuid.uuid4()}"
    async with engine_on(temporal_server, queue, gates) as engine:
        run = await engine.start(slow)
        await gates.reached("gate")
        await run.cancel(force_after=3_600)
        await gates.reached("cleanup")
        client = engine._connected()
        wish = client.get_workflow_handle(await wish_of(client, run))
    await wish.signal("orchestrator:end-by", 0.0)
    async with engine_on(temporal_server, queue, gates) as engine:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RunTerminatedError):
                await (await engine.get(run.id)).result()
            await wish.result()


async def test_a_deadline_ends_no_later_run_of_the_same_id(temporal_server: TemporalServer) -> None:
    """What it is to end is told by the server's own id, not by ours, which may be used again."""
    gates, queue = Gates(), f"own-{uuid.uuid4()}"
    async with engine_on(temporal_server, queue, gates) as engine:
        client = engine._connected()
        run = await engine.start(slow)
        await gates.reached("gate")
        await run.cancel(force_after=3_600)
        wish = client.get_workflow_handle(await wish_of(client, run))
        gates.open("cleanup")
        with pytest.raises(RunCancelledError):
            await run.result()
        other = await client.start_workflow("slow", id=run.id, task_queue="nobody's")
        await wish.signal("orchestrator:end-by", 0.0)
        async with asyncio.timeout(PATIENCE_S):
            await wish.result()
        assert (await other.describe()).close_time is None
        await other.terminate()


async def test_an_ended_run_needs_no_deadline(temporal_server: TemporalServer) -> None:
    """Nothing is left on the server for it."""
    gates, queue = Gates(), f"own-{uuid.uuid4()}"
    async with engine_on(temporal_server, queue, gates) as engine:
        run = await engine.start(slow)
        await run.cancel(force_after=0)
        await run.cancel(force_after=3_600)
        client = engine._connected()
        with pytest.raises(RPCError, match="not found"):
            await client.get_workflow_handle(await wish_of(client, run)).describe()

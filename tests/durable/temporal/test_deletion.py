"""Deleting ended runs on Temporal."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.core.errors import NotFoundError
from orchestrator.durable.temporal.deletion import PLACEHOLDER_LASTS, PLACEHOLDER_QUEUE
from orchestrator.durable.temporal.standing import DELETED

if TYPE_CHECKING:
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


def engine_on(server: TemporalServer) -> TemporalEngine:
    """An engine on a task queue of its own."""
    return TemporalEngine(server.address, workflows=[echo], task_queue=f"deletion-{uuid.uuid4()}")


async def test_a_deleted_run_is_gone_at_once_for_every_call(temporal_server: TemporalServer) -> None:
    """The server takes longer, and nobody sees that; deleting it again says that there is none."""
    async with engine_on(temporal_server) as engine:
        run = await engine.start(echo, "one")
        await run.result()
        await engine.delete(run.id)
        with pytest.raises(NotFoundError):
            await run.describe()
        with pytest.raises(NotFoundError):
            await engine.delete(run.id)


async def test_of_many_who_delete_and_start_anew_each_sees_one_run(temporal_server: TemporalServer) -> None:
    """The same start, many times at the same moment under an id that was just deleted, is one run."""
    async with engine_on(temporal_server) as engine:
        run = await engine.start(echo, "one")
        await run.result()
        await asyncio.gather(*(engine.delete(run.id) for _ in range(3)), return_exceptions=True)
        again = await asyncio.gather(*(engine.start(echo, "two", id=run.id) for _ in range(5)))
        assert [await one.result() for one in again] == ["two"] * 5
        assert (await again[0].describe()).workflow == "echo"


async def test_a_delete_that_was_killed_half_way_frees_the_id(temporal_server: TemporalServer) -> None:
    """What stands in for the run ends by itself, and a start waits for that."""
    async with engine_on(temporal_server) as engine:
        run = await engine.start(echo, "one")
        await run.result()
        client = await Client.connect(temporal_server.address)
        await client.start_workflow(
            DELETED,
            id=run.id,
            task_queue=PLACEHOLDER_QUEUE,
            execution_timeout=PLACEHOLDER_LASTS,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
        with pytest.raises(NotFoundError):
            await engine.get(run.id)
        assert await (await engine.start(echo, "two", id=run.id)).result() == "two"

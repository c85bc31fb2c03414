"""Where a run on Temporal stands, while its code is just hearing of what it was asked."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.durable.runs import Status
from orchestrator.durable.temporal.standing import describe, status_now, status_of
from support.contract_lab import PATIENCE_S, PAUSES_S

if TYPE_CHECKING:
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def ask(ctx: Context) -> str:
    """Wait for a signal."""
    return await ctx.receive("answer", str)


@workflow
async def anew(ctx: Context, life: int) -> str:
    """Wait for a signal in the second life."""
    if life == 1:
        ctx.continue_as(2)
    return await ctx.receive("answer", str)


async def test_a_pause_shows_in_the_moment_in_which_the_code_hears_of_it(
    temporal_server: TemporalServer,
) -> None:
    """The server was asked a moment before that, its history a moment after."""
    queue = f"standing-{uuid.uuid4()}"
    async with TemporalEngine(
        temporal_server.address, workflows=[ask], task_queue=queue, works=False
    ) as engine:
        run = await engine.start(ask)
        await run.pause()
        client = engine._connected()
        before = await describe(client, run.id)
        assert await status_now(client, before) is Status.PAUSED
        worker = TemporalEngine(temporal_server.address, workflows=[ask], task_queue=queue)
        async with worker, asyncio.timeout(PATIENCE_S):
            for pause_s in PAUSES_S:
                if status_of(await describe(client, run.id)) is Status.PAUSED:
                    break
                await asyncio.sleep(pause_s)
        assert await status_now(client, before) is Status.PAUSED


async def test_a_run_that_continued_meanwhile_stands_somewhere(temporal_server: TemporalServer) -> None:
    """The server was asked of the history before, whose code had a turn to take."""
    queue = f"standing-{uuid.uuid4()}"
    async with TemporalEngine(
        temporal_server.address, workflows=[anew], task_queue=queue, works=False
    ) as engine:
        run = await engine.start(anew, 1)
        client = engine._connected()
        before = await describe(client, run.id)
        worker = TemporalEngine(temporal_server.address, workflows=[anew], task_queue=queue)
        async with worker, asyncio.timeout(PATIENCE_S):
            for pause_s in PAUSES_S:
                present = await describe(client, run.id)
                if status_of(present) is Status.WAITING:
                    break
                await asyncio.sleep(pause_s)
        assert await status_now(client, before) is Status.WAITING

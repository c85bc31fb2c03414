"""Programs that wait while the cluster is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, TemporalEngine, workflow
from support.temporal_server import lasting_temporal_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.temporal


@workflow
async def answered(ctx: Context) -> str:
    """Wait for an answer."""
    return await ctx.receive("answer", str)


async def test_who_waits_for_a_result_waits_through_an_outage(tmp_path: Path) -> None:
    """The run goes on when the server is back, and so does the wait for it."""
    with lasting_temporal_server(tmp_path) as server:
        async with TemporalEngine(server.address, workflows=[answered]) as engine:
            run = await engine.start(answered)
            result = asyncio.create_task(run.result())
            await asyncio.to_thread(server.stop)
            await asyncio.wait([result], timeout=2)
            assert not result.done()
            await asyncio.to_thread(server.start)
            await run.signal("answer", "yes")
            assert await result == "yes"

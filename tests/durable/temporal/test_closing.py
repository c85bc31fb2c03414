"""Closing an engine on Temporal while its steps go on."""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, TemporalEngine, step, workflow
from orchestrator.durable.temporal import activities
from support.contract_lab import PATIENCE_S

if TYPE_CHECKING:
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


async def test_a_thread_that_does_not_end_holds_nobody(
    temporal_server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python cannot stop it, so it is let go after a time, and its step runs again elsewhere."""
    monkeypatch.setattr(activities, "LET_GO_AFTER_S", 0.1)
    began, freed = threading.Semaphore(0), threading.Event()

    @step
    def block() -> str:
        began.release()
        freed.wait()
        return "freed"

    @workflow
    async def blocked(ctx: Context) -> str:
        return await ctx.run(block)

    queue = f"closing-{uuid.uuid4()}"
    async with TemporalEngine(
        temporal_server.address, workflows=[blocked], steps=[block], task_queue=queue
    ) as engine:
        run = await engine.start(blocked)
        assert await asyncio.to_thread(began.acquire, timeout=PATIENCE_S)
    assert not freed.is_set()
    async with TemporalEngine(
        temporal_server.address, workflows=[blocked], steps=[block], task_queue=queue
    ) as engine:
        assert await asyncio.to_thread(began.acquire, timeout=PATIENCE_S)
        freed.set()
        assert await (await engine.get(run.id)).result() == "freed"

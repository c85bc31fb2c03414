"""Operators who use Temporal's own tools on our runs."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.durable.runs import EventType
from support.contract_lab import PATIENCE_S, Gates, all_events

if TYPE_CHECKING:
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

"""Workers of different code on one task queue."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, Retry, TemporalEngine, step, step_info, workflow
from orchestrator.core.errors import RetryableError
from orchestrator.durable.errors import RunFailedError
from orchestrator.durable.temporal import activities, passing_on
from support.contract_lab import PATIENCE_S, Gates

if TYPE_CHECKING:
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal

LOOK_AGAIN_S = 0.05


@step(retry=Retry(attempts=2, backoff=(0,)))
async def stumble() -> int:
    """Fail at the first attempt; the second gives its number."""
    if step_info().attempt == 1:
        raise RetryableError
    return step_info().attempt


@workflow
async def walk(ctx: Context) -> int:
    """One step."""
    return await ctx.run(stumble)


@workflow
async def held(ctx: Context) -> str:
    """Wait in a step."""
    return await ctx.run(Gates.wait, "gate")


@pytest.fixture
def queue() -> str:
    """A task queue of the test's own."""
    return f"passing-on-{uuid.uuid4()}"


async def test_a_step_that_a_worker_does_not_know_waits_for_one_that_does(
    temporal_server: TemporalServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it was handed back before, it has all of its own attempts."""
    monkeypatch.setattr(passing_on, "LONGEST_WAIT_S", 0.2)
    old = TemporalEngine(temporal_server.address, workflows=[walk], task_queue=queue)
    new = TemporalEngine(temporal_server.address, workflows=[walk], steps=[stumble], task_queue=queue)
    async with old:
        run = await old.start(walk)
        async with asyncio.timeout(PATIENCE_S):
            while [view.attempt for view in await run.steps()] < [4]:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(LOOK_AGAIN_S)
        async with new, asyncio.timeout(PATIENCE_S):
            assert await run.result() == 2


async def test_a_step_that_loses_its_workers_fails(
    temporal_server: TemporalServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be what ends them."""
    monkeypatch.setattr(activities, "MOST_LOST_ATTEMPTS", 1)

    def worker(gates: Gates) -> TemporalEngine:
        return TemporalEngine(temporal_server.address, workflows=[held], steps=[gates], task_queue=queue)

    starter = TemporalEngine(temporal_server.address, workflows=[held], task_queue=queue, works=False)
    async with starter:
        run = await starter.start(held)
        for _ in range(2):
            async with worker(gates := Gates()):
                await gates.reached("gate")
        async with worker(Gates()):
            with pytest.raises(RunFailedError, match="lost too often"):
                await run.result()

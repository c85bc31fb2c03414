"""Failures of steps on Temporal: recorded, and not shouted about."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, Retry, TemporalEngine, step, workflow
from orchestrator.durable.errors import RunFailedError

if TYPE_CHECKING:
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@step(retry=Retry(attempts=2, backoff=(0.01,)))
async def stumble() -> None:
    """Fail each time."""
    raise ValueError("on a stone")


@workflow
async def walk(ctx: Context) -> None:
    """Fail with its step."""
    await ctx.run(stumble)


async def test_a_failure_is_told_by_its_run_and_fills_no_log(
    temporal_server: TemporalServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK would log a traceback for every attempt."""
    engine = TemporalEngine(
        temporal_server.address, workflows=[walk], steps=[stumble], task_queue=f"failures-{uuid.uuid4()}"
    )
    async with engine:
        with pytest.raises(RunFailedError, match="on a stone"):
            await (await engine.start(walk)).result()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []

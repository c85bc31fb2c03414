"""Runs on Temporal whose code does not fit what was recorded."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, TemporalEngine, step, workflow
from orchestrator.durable.errors import MismatchError, RunClosedError, RunTerminatedError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import PATIENCE_S, Gates

if TYPE_CHECKING:
    from orchestrator.durable.temporal.runs import TemporalRun
    from orchestrator.durable.workflows import Workflow
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@step(name="measure")
async def measured_as_text() -> str:
    """What the step gave when it ran."""
    return "long"


@step(name="measure")
async def measured_as_number() -> int:
    """What the step gives by now."""
    return 3


@workflow(name="changing")
async def recorded(ctx: Context) -> str:
    """What the run was begun with."""
    said: str = await ctx.run(measured_as_text)
    return said + await ctx.receive("go", str)


@workflow(name="changing")
async def asks_for_another(ctx: Context) -> str:
    """Another step at the same place."""
    return await ctx.run(Gates.note, "other")


@workflow(name="changing")
async def asks_for_nothing(ctx: Context) -> str:
    """No step at all."""
    return await ctx.receive("go", str)


@workflow(name="changing")
async def reads_a_number(ctx: Context) -> str:
    """The same step, whose result is of another type now."""
    return str(await ctx.run(measured_as_number) + await ctx.receive("go", int))


async def stuck_run(server: TemporalServer, queue: str) -> str:
    """The id of a run that has recorded a step and waits for a signal."""
    async with TemporalEngine(
        server.address, workflows=[recorded], steps=[measured_as_text], task_queue=queue
    ) as engine:
        run = await engine.start(recorded)
        async with asyncio.timeout(PATIENCE_S):
            async for event in run.events():
                if event.type is EventType.STEP_COMPLETED:
                    break
        return run.id


def engine_with(server: TemporalServer, queue: str, code: Workflow[Any, Any]) -> TemporalEngine:
    """An engine with other code under the same name."""
    return TemporalEngine(server.address, workflows=[code], steps=[Gates()], task_queue=queue)


async def told_of(run: TemporalRun[Any]) -> str:
    """What one is told who waits for the result of a run that gets a turn."""
    await run.signal("something")
    with pytest.raises(MismatchError) as told:
        await asyncio.wait_for(run.result(), PATIENCE_S)
    assert (await run.describe()).status is Status.STUCK
    assert (await run.describe()).reason in told.value.message
    return told.value.message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            asks_for_another,
            "the history has operation 1:measure, but the code at this point asks for 1:Gates.note",
        ),
        (
            asks_for_nothing,
            "the history has operation 1:measure, but the code at this point asks for nothing",
        ),
        (reads_a_number, "a recorded result does not fit the code: the result of measure"),
    ],
)
async def test_a_stuck_run_says_what_does_not_fit(
    temporal_server: TemporalServer, code: Workflow[Any, Any], message: str
) -> None:
    """The operation that is recorded, and what the code asks for instead; it is neither failed nor paused."""
    queue = f"own-{uuid.uuid4()}"
    run_id = await stuck_run(temporal_server, queue)
    async with engine_with(temporal_server, queue, code) as engine:
        run = await engine.get(run_id)
        assert message in await told_of(run)
        with pytest.raises(RunClosedError, match="stuck"):
            await run.pause()


async def test_a_cancel_ends_a_stuck_run_at_once(temporal_server: TemporalServer) -> None:
    """Its code cannot run, so nothing is cleaned up."""
    queue = f"own-{uuid.uuid4()}"
    run_id = await stuck_run(temporal_server, queue)
    async with engine_with(temporal_server, queue, asks_for_nothing) as engine:
        run = await engine.get(run_id)
        await told_of(run)
        await run.cancel()
        with pytest.raises(RunTerminatedError):
            await run.result()


async def test_the_right_code_heals_a_stuck_run(temporal_server: TemporalServer) -> None:
    """It goes on where it was, without a wish of anybody."""
    queue = f"own-{uuid.uuid4()}"
    run_id = await stuck_run(temporal_server, queue)
    async with engine_with(temporal_server, queue, asks_for_nothing) as engine:
        await told_of(await engine.get(run_id))
    async with engine_with(temporal_server, queue, recorded) as engine:
        run = await engine.get(run_id)
        await run.signal("go", "!")
        assert await asyncio.wait_for(run.result(), 2 * PATIENCE_S) == "long!"

"""Children on Temporal: what is their parent's and what the server's affair."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.durable.errors import ChildError, RunCancelledError
from orchestrator.durable.runs import EventType, Status
from orchestrator.durable.temporal.deletion import PLACEHOLDER_QUEUE
from orchestrator.durable.temporal.standing import DELETED
from support.contract_lab import PATIENCE_S, Gates, all_events

if TYPE_CHECKING:
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def gated(ctx: Context, name: str) -> str:
    """Wait in a step."""
    return await ctx.run(Gates.wait, name)


@workflow
async def leaves(ctx: Context, round_: int) -> str:
    """Leave a child behind in the first life, and find it in the second."""
    child = ctx.child(gated, "gate", id=f"{ctx.info.run_id}.kept")
    if round_ == 1:
        await ctx.receive("go")
        ctx.continue_as(2)
    try:
        return await child
    except ChildError as error:
        return f"{type(error).__name__}: {error}"


@workflow
async def twice(ctx: Context) -> str:
    """Ask for a child twice, and give up the second time."""
    first = ctx.child(gated, "gate", id=f"{ctx.info.run_id}.child")
    second = ctx.child(gated, "gate", id=f"{ctx.info.run_id}.child")
    return await first + await second


def engine_on(server: TemporalServer, *steps: object) -> TemporalEngine:
    """An engine of this file's workflows, on a task queue of its own."""
    return TemporalEngine(
        server.address,
        workflows=[gated, leaves, twice],
        steps=steps,
        task_queue=f"own-{uuid.uuid4()}",
    )


async def test_a_child_that_a_life_leaves_open_is_cancelled(temporal_server: TemporalServer) -> None:
    """The next life may ask for it under its id, and is told how it ended."""
    gates = Gates()
    async with engine_on(temporal_server, gates) as engine:
        run = await engine.start(leaves, 1)
        await gates.reached("gate")
        await run.signal("go")
        child = await engine.get(f"{run.id}.kept")
        with pytest.raises(RunCancelledError):
            await child.result()
        assert await run.result() == f"ChildError: child run {child.id} was cancelled"
        assert gates.ended == ["gate cancelled"]


async def test_each_who_asked_for_a_child_is_told_and_recorded(temporal_server: TemporalServer) -> None:
    """The history has the child's outcome for each of the operations, so that a prefix has it too."""
    gates = Gates()
    gates.open("gate")
    async with engine_on(temporal_server, gates) as engine:
        run = await engine.start(twice)
        assert await run.result() == "gategate"
        assert gates.calls == ["gate"]
        ended = [event for event in await all_events(run) if event.type is EventType.CHILD_COMPLETED]
        assert sorted((event.operation, event.data) for event in ended) == [("1", "gate"), ("2", "gate")]
        recorded = [entry.key for entry in (await run.recorded(until=None)).entries]
        assert {"1:child gated", "2:child gated"} <= set(recorded)


async def test_a_cancel_reaches_a_child_that_was_asked_for_twice(temporal_server: TemporalServer) -> None:
    """Whichever way the parent follows it."""
    gates = Gates()
    async with engine_on(temporal_server, gates) as engine:
        run = await engine.start(twice)
        await gates.reached("gate")
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        child = await engine.get(f"{run.id}.child")
        assert (await child.describe()).status is Status.CANCELLED


async def test_a_child_has_the_id_of_a_deleted_run(temporal_server: TemporalServer) -> None:
    """At once, while the server has something else under it still; watchers see one child."""
    gates = Gates()
    gates.open("gate")
    async with engine_on(temporal_server, gates) as engine, asyncio.timeout(PATIENCE_S):
        run_id = f"parent-{uuid.uuid4()}"
        placeholder = await engine._connected().start_workflow(
            DELETED, id=f"{run_id}.child", task_queue=PLACEHOLDER_QUEUE
        )
        await placeholder.terminate()
        run = await engine.start(twice, id=run_id)
        assert await run.result() == "gategate"
        told = [event.type for event in await all_events(run)]
        assert told.count(EventType.CHILD_COMPLETED) == 2
        assert EventType.CHILD_FAILED not in told
        assert gates.calls == ["gate"]

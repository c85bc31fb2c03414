"""The Temporal adapter: what is its own, beside the contract."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, Limit, TemporalEngine, workflow
from orchestrator.core.errors import PayloadTooLargeError, UnavailableError
from orchestrator.durable.errors import RunTerminatedError
from orchestrator.durable.runs import EventType, Status
from orchestrator.durable.temporal.payloads import MAX_CARRIED_BYTES
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


@workflow
async def held(ctx: Context) -> str:
    """Wait in a step."""
    return await ctx.run(Gates.wait, "gate")


@workflow
async def tidy(ctx: Context) -> None:
    """Wait in a step, with something to clean up and something to undo."""
    ctx.compensate(Gates.note, "undone")
    try:
        await ctx.run(Gates.wait, "gate")
    finally:
        await ctx.run(Gates.note, "cleanup")


@workflow(limits=[Limit(1)])
async def limited(ctx: Context, text: str) -> str:
    """Give the input back, one run at a time."""
    return text


def engine_on(server: TemporalServer, *steps: object) -> TemporalEngine:
    """An engine of this file's workflows, on a task queue of its own."""
    return TemporalEngine(
        server.address,
        workflows=[echo, held, tidy, limited],
        steps=steps,
        task_queue=f"own-{uuid.uuid4()}",
    )


@pytest.mark.parametrize("is_ended", [False, True])
async def test_what_a_closed_engine_had_in_memory_does_nothing_more(
    temporal_server: TemporalServer, *, is_ended: bool
) -> None:
    """Python closes its code when it collects garbage; that neither cleans up nor undoes, and is silent."""
    gates = Gates()
    async with engine_on(temporal_server, gates) as engine:
        run = await engine.start(tidy)
        await gates.reached("gate")
        if is_ended:
            await run.cancel(force_after=0)
    gc.collect()
    assert gates.calls == ["gate"]
    assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr]


async def test_a_value_that_no_server_takes_is_refused_at_once(temporal_server: TemporalServer) -> None:
    """Below our own limit, above Temporal's."""
    async with engine_on(temporal_server) as engine:
        with pytest.raises(PayloadTooLargeError, match=f"at most {MAX_CARRIED_BYTES:,} are recorded"):
            await engine.start(echo, "x" * MAX_CARRIED_BYTES)


async def test_a_terminated_run_says_so(temporal_server: TemporalServer) -> None:
    """An operator may end a run with Temporal's own tools; watchers get an end all the same."""
    gates = Gates()
    async with engine_on(temporal_server, gates) as engine:
        run = await engine.start(held)
        await gates.reached("gate")
        await engine._connected().get_workflow_handle(run.id).terminate()
        with pytest.raises(RunTerminatedError, match=run.id):
            await run.result()
        assert (await run.describe()).status is Status.TERMINATED
        assert (await all_events(run))[-1].type is EventType.RUN_TERMINATED
        gates.open("gate")


async def test_a_server_that_is_not_there_is_named(free_port: int) -> None:
    """The error has the address that was tried."""
    engine = TemporalEngine(f"127.0.0.1:{free_port}")
    with pytest.raises(UnavailableError, match=str(free_port)):
        await engine.__aenter__()


def test_the_library_is_loaded_only_when_asked_for() -> None:
    """Using the embedded engine costs nothing of Temporal."""
    code = "import sys; from orchestrator import EmbeddedEngine; sys.exit('temporalio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

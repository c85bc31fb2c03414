"""Deleting ended runs on Temporal."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.core.errors import NotFoundError
from orchestrator.durable.temporal import starting
from orchestrator.durable.temporal.deletion import PLACEHOLDER_LASTS, PLACEHOLDER_QUEUE
from orchestrator.durable.temporal.runs import TemporalRun
from orchestrator.durable.temporal.standing import DELETED
from orchestrator.durable.temporal.terms import USUAL_TERMS
from orchestrator.durable.temporal.value_store import DirectoryStore
from support.contract_lab import PATIENCE_S, Gates, all_events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from temporalio.client import WorkflowHandle

    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


@workflow
async def count(ctx: Context) -> str:
    """Let a counter know."""
    return await ctx.run(Gates.note, "one")


class Slow(DirectoryStore):
    """A store for large values whose removals let somebody else do something first."""

    meanwhile: Callable[[], Awaitable[object]]

    async def remove(self, folder: str) -> None:
        """Remove it after that."""
        await self.meanwhile()
        await super().remove(folder)


def engine_on(server: TemporalServer, **options: Any) -> TemporalEngine:  # noqa: ANN401  # as the engine takes
    """An engine on a task queue of its own."""
    queue = f"deletion-{uuid.uuid4()}"
    return TemporalEngine(server.address, workflows=[echo, count], task_queue=queue, **options)


async def put_in_place(server: TemporalServer, run_id: str) -> WorkflowHandle[Any, Any]:
    """What stands in for a run while it is deleted."""
    client = await Client.connect(server.address)
    return await client.start_workflow(
        DELETED,
        id=run_id,
        task_queue=PLACEHOLDER_QUEUE,
        execution_timeout=PLACEHOLDER_LASTS,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )


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


async def test_those_who_start_anew_a_little_later_see_the_same_run(
    temporal_server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when that has ended between their look, which found nothing, and their start."""
    monkeypatch.setattr(starting, "LOOK_AGAIN_S", 1.0)
    gates = Gates()
    async with engine_on(temporal_server, steps=[gates]) as engine:
        run_id = f"anew-{uuid.uuid4()}"
        await (await put_in_place(temporal_server, run_id)).terminate()

        async def start(after_s: float) -> None:
            await asyncio.sleep(after_s)
            await (await engine.start(count, id=run_id)).result()

        await asyncio.gather(start(0.0), start(0.5), start(0.9))
        assert gates.calls == ["one"]


async def test_a_new_run_keeps_its_large_values(temporal_server: TemporalServer, tmp_path: Path) -> None:
    """They are in the folder of the old one's, so its id is free only when those are removed."""
    store = Slow(tmp_path)
    async with engine_on(temporal_server, value_store=store) as engine:
        run = await engine.start(echo, "one")
        await run.result()
        begun: list[asyncio.Task[TemporalRun[str]]] = []
        text = "two" * 10_000

        async def start() -> None:
            begun.append(asyncio.create_task(engine.start(echo, text, id=run.id)))
            await asyncio.wait(begun, timeout=0.5)

        store.meanwhile = start
        await engine.delete(run.id)
        async with asyncio.timeout(PATIENCE_S):
            assert await (await begun[0]).result() == text


async def test_a_delete_that_was_killed_half_way_frees_the_id(temporal_server: TemporalServer) -> None:
    """What stands in for the run ends by itself, and a start waits for that."""
    async with engine_on(temporal_server) as engine:
        run = await engine.start(echo, "one")
        await run.result()
        await put_in_place(temporal_server, run.id)
        with pytest.raises(NotFoundError):
            await engine.get(run.id)
        assert await (await engine.start(echo, "two", id=run.id)).result() == "two"


async def test_a_deleted_run_is_gone_for_its_handle(temporal_server: TemporalServer) -> None:
    """Whatever is asked of it, once the server has forgotten it, says that there is none."""
    async with engine_on(temporal_server) as engine:
        run = await engine.start(echo, "one")
        gone = TemporalRun[str](
            engine._connected(),
            f"{run.id}-none",
            echo.output,
            engine._forks(engine._connected()),
            USUAL_TERMS,
            None,
        )
        for use in (gone.result, gone.steps, gone.recorded, gone.fork, partial(all_events, gone)):
            with pytest.raises(NotFoundError, match="there is no run"):
                await use()

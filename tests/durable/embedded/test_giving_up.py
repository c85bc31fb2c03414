"""Callers that stop waiting, or act at the same time: what they asked for is done whole, or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator import Context, EmbeddedEngine, Limit, workflow
from orchestrator.durable.runs import Status
from support.quiet import settle

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

seen: list[asyncio.Task[Any] | None] = []


@workflow
async def ask(ctx: Context) -> str:
    """Wait for an answer."""
    return await ctx.receive("answer", str)


@workflow(limits=[Limit(1)])
async def single(ctx: Context) -> None:
    """Wait in the only place."""
    await ctx.receive("never")


async def test_a_change_that_was_given_up_is_not_made(tmp_path: Path) -> None:
    """A signal whose sender stopped waiting before its turn came is not sent, and nothing is logged."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[ask]) as engine:
        run = await engine.start(ask)
        await give_up(run.signal("answer", "given up"))
        await run.signal("answer", "meant")
        assert await run.result() == "meant"
    assert found == []


async def test_those_who_stopped_waiting_for_a_result_are_forgotten(tmp_path: Path) -> None:
    """Looking again and again whether a run has ended leaves nothing behind."""
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[ask]) as engine:
        run = await engine.start(ask)
        await give_up(run.result())
        assert engine._runs is not None
        assert engine._runs._ends._waiting == {}


async def test_a_parent_that_comes_back_turns_outside_of_any_task(tmp_path: Path) -> None:
    """Who cancels a pending child wakes its parent, and that turns where all runs do."""
    loop = asyncio.get_running_loop()

    @workflow
    async def parent(ctx: Context) -> None:
        seen.append(asyncio.current_task(loop))
        await ctx.child(single, id="child")

    seen.clear()
    async with EmbeddedEngine(
        tmp_path / "runs.db", workflows=[single, parent], most_runs_in_memory=0
    ) as engine:
        await engine.start(single)
        await engine.start(parent)
        await settle(engine)
        await (await engine.get("child")).cancel()
        await settle(engine)
    assert seen == [None, None]


async def test_a_stuck_run_that_is_tried_again_as_it_is_cancelled_is_cancelled(tmp_path: Path) -> None:
    """A cancel that finds a run stuck, and then finds it going on, cancels it then."""
    path = tmp_path / "runs.db"
    async with EmbeddedEngine(path, workflows=[ask]) as engine:
        await engine.start(ask, id="run")
    async with EmbeddedEngine(path) as engine:
        run = await engine.get("run")
        assert (await run.describe()).status is Status.STUCK
        engine._registry.add([ask], [])
        cancelling = asyncio.ensure_future(run.cancel())
        resuming = asyncio.ensure_future(run.resume())
        await asyncio.wait_for(asyncio.gather(cancelling, resuming, return_exceptions=True), 30)
        assert (await run.describe()).status in {Status.CANCELLED, Status.TERMINATED}


async def give_up(work: Coroutine[Any, Any, Any]) -> None:
    """Begin something, and stop waiting for it before it was done."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""Closing an engine while much is on its way to the disk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator import Context, EmbeddedEngine, workflow
from support.dam import Dam, turns
from support.quiet import settle

if TYPE_CHECKING:
    from pathlib import Path


@workflow
async def child(ctx: Context) -> str:
    """Wait for a word."""
    return await ctx.receive("word", str)


@workflow
async def parent(ctx: Context) -> str:
    """Wait for a child, then for a word."""
    return await ctx.child(child, id="child") + await ctx.receive("word", str)


async def test_an_end_that_is_committed_at_the_close_moves_nobody(tmp_path: Path) -> None:
    """A parent that has left is not brought back without what it recorded last; the next engine tells it."""
    dam = Dam()
    engine = EmbeddedEngine(tmp_path / "runs.db", workflows=[child, parent], fault=dam)
    await engine.open()
    run = await engine.start(parent, id="parent")
    await settle(engine)
    dam.close()
    ending = asyncio.ensure_future((await engine.get("child")).signal("word", "one "))
    await dam.held()
    signalling = asyncio.ensure_future(run.signal("word", "two"))
    await turns()
    closing = asyncio.ensure_future(engine.close())
    await turns()
    dam.open()
    await asyncio.gather(ending, signalling, closing)
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[child, parent]) as engine:
        assert await asyncio.wait_for((await engine.get("parent")).result(), 30) == "one two"

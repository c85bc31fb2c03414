"""Priority among steps, where more of them are asked for than may run."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from orchestrator import Context, EmbeddedEngine, step, workflow
from support.contract_lab import Gates

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

opened = threading.Event()
reached = threading.Event()
calls: list[str] = []


@step
def block(name: str) -> str:
    """Hold a thread until it is let go."""
    calls.append(name)
    reached.set()
    assert opened.wait(30)
    return name


@workflow
async def in_loop(ctx: Context, name: str) -> str:
    """Wait at a gate."""
    return await ctx.run(Gates.wait, name)


@workflow
async def in_thread(ctx: Context, name: str) -> str:
    """Hold a thread."""
    return await ctx.run(block, name)


async def test_the_next_free_place_goes_to_the_first_priority(tmp_path: Path) -> None:
    """Steps that queue are served by the priority of their runs, then in the order in which they came."""
    gates = Gates()
    path = tmp_path / "runs.db"
    async with EmbeddedEngine(path, workflows=[in_loop], steps=[gates], most_steps_at_once=1) as engine:
        runs = [await engine.start(in_loop, "first")]
        await gates.reached("first")
        for number, priority in enumerate([5, 3, 1, 3, 1]):
            runs.append(await engine.start(in_loop, f"{priority}-{number}", priority=priority))
        gates.open("first", "5-0", "3-1", "1-2", "3-3", "1-4")
        for run in runs:
            await run.result()
        assert gates.calls == ["first", "1-2", "1-4", "3-1", "3-3", "5-0"]


async def test_the_next_free_thread_goes_to_the_first_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for plain functions, which have fewer places; other steps pass them by."""
    monkeypatch.setattr("orchestrator.durable.embedded.runner.MOST_THREADS", 1)
    calls.clear()
    opened.clear()
    reached.clear()
    gates = Gates()
    gates.open("async")
    path = tmp_path / "runs.db"
    async with EmbeddedEngine(path, workflows=[in_loop, in_thread], steps=[gates, block]) as engine:
        runs = [await engine.start(in_thread, "first")]
        await asyncio.to_thread(reached.wait, 30)
        for number, priority in enumerate([4, 2, 4, 1]):
            runs.append(await engine.start(in_thread, f"{priority}-{number}", priority=priority))
        passing = await engine.start(in_loop, "async", priority=5)
        assert await passing.result() == "async"
        opened.set()
        for run in runs:
            await run.result()
        assert calls == ["first", "1-3", "2-1", "4-0", "4-2"]

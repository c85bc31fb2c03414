"""What the runs of these measurements do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from orchestrator import Context, EmbeddedEngine, step, workflow

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 5


class Steps:
    """The steps of one process, and what it saw of them."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.woke: dict[int, float] = {}
        self.resumed = asyncio.Event()
        self.awaited = 0

    @step
    async def add(self, number: int) -> int:
        """One more."""
        return number + 1

    @step
    async def hold(self, number: int) -> int:
        """Be in flight until the process ends."""
        self.begun.append(number)
        if len(self.begun) == self.awaited:
            self.resumed.set()
        await asyncio.Event().wait()
        return number

    @step
    async def wake(self, number: int) -> int:
        """Note when it is that a run woke."""
        self.woke[number] = time.perf_counter()
        return number


@workflow
async def count(ctx: Context, number: int) -> int:
    """Five steps."""
    for _ in range(STEPS):
        number = await ctx.run(Steps.add, number)
    return number


@workflow
async def wait(ctx: Context, number: int) -> int:
    """A step, then a signal that may come after a week, then a step."""
    number = await ctx.run(Steps.add, number)
    await ctx.receive("go", int, timeout=7 * 86_400)
    return await ctx.run(Steps.wake, number)


@workflow
async def hold(ctx: Context, number: int) -> int:
    """A step that ends, and one that is in flight."""
    return await ctx.run(Steps.hold, await ctx.run(Steps.add, number))


def engine_on(path: Path, steps: Steps, **options: Any) -> EmbeddedEngine:  # noqa: ANN401  # the engine's own
    """An engine with all of these."""
    return EmbeddedEngine(path, workflows=[count, wait, hold], steps=[steps], **options)

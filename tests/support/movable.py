"""Workflows that move from one engine to another, and a process that moves them and can be killed.

``python -m support.movable JOURNAL ADDRESS TASK_QUEUE CUT_AT`` moves what is open in a journal to Temporal.
It kills itself at the ``CUT_AT``-th point that it passes, counted from 1: before and after each run is begun,
and at each point of every write of the journal. It prints what it did, one line of JSON each.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.durable.embedded.leaving import LeavingJournal
from orchestrator.durable.moving import Mover
from support.contract_lab import Gates

if TYPE_CHECKING:
    from orchestrator.durable.moving import OpenRun, OpenSchedule
    from orchestrator.durable.temporal.arriving import Arrivals


@workflow
async def errand(ctx: Context, name: str) -> str:
    """Note something, wait for a word, note something else."""
    first = await ctx.run(Gates.note, f"{name} begins")
    word = await ctx.receive("word", str)
    return f"{first}, {word}, {await ctx.run(Gates.note, f'{name} ends')}"


@workflow
async def household(ctx: Context, name: str) -> list[Any]:
    """Do something, have a child run an errand, and tell of both."""
    done = await ctx.run(Gates.note, f"{name} wakes")
    told = await ctx.child(errand, f"errand of {name}")
    return [done, told, str(ctx.uuid()), await ctx.run(Gates.note, f"{name} sleeps")]


WORKFLOWS = (errand, household)


class Points:
    """Counts the points that a process passes, and kills it at one of them."""

    def __init__(self, cut_at: int) -> None:
        self._left = cut_at

    def __call__(self, point: str) -> None:
        """Pass a point."""
        del point
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class CutArrivals:
    """The destination of a move, with points before and after all that it does."""

    def __init__(self, arrivals: Arrivals, points: Points) -> None:
        self._arrivals = arrivals
        self._points = points
        self.place = arrivals.place

    def check(self, run: OpenRun) -> None:
        """As the destination."""
        self._arrivals.check(run)

    async def take(self, run: OpenRun) -> None:
        """As the destination."""
        self._points("before a run")
        await self._arrivals.take(run)
        self._points("after a run")

    async def take_schedule(self, schedule: OpenSchedule) -> None:
        """As the destination."""
        self._points("before a schedule")
        await self._arrivals.take_schedule(schedule)
        self._points("after a schedule")


async def main(journal: str, address: str, task_queue: str, cut_at: str) -> None:
    """Move everything."""
    points = Points(int(cut_at))
    async with (
        TemporalEngine(address, workflows=WORKFLOWS, task_queue=task_queue, works=False) as engine,
        LeavingJournal(Path(journal), fault=points) as leaving,
    ):
        async for move in Mover(leaving, CutArrivals(engine.arrivals, points)).move():
            print(json.dumps(asdict(move)), flush=True)  # noqa: T201  # what the test reads


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

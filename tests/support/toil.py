"""A process to be killed: an engine with many runs, which notes down what its steps do and what watchers see.

Run it as ``python -m support.toil FOLDER GENERATION``. It starts some runs, says ``open`` on standard output
once it goes on with the open ones, and ends when all have ended. Each note is one line of JSON in one write
at the end of a file, so that a kill leaves only whole ones.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import Context, EmbeddedEngine, Retry, progress, step, step_info, workflow
from orchestrator.core.errors import RetryableError, TerminalError
from orchestrator.durable.errors import RunClosedError, StepError

if TYPE_CHECKING:
    from orchestrator.durable.engine import Run

JOURNAL = "runs.db"
STEPS = "steps.jsonl"
WATCHED = "watched.jsonl"
STARTED = "started.jsonl"

RUNS_PER_GENERATION = 20
FAILURES = 2
ALL_RUNS = 1_000_000


def number_of(run_id: str) -> int:
    """The input of the run of that id."""
    return int(run_id.removeprefix("toil-"))


class Notes:
    """A file to which whole lines are added."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, **note: object) -> None:
        """Add one."""
        os.write(self._descriptor, json.dumps(note).encode() + b"\n")


def read_notes(path: Path) -> list[dict[str, Any]]:
    """All notes of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Toil:
    """Steps that take a moment, so that a kill finds some of them at work."""

    def __init__(self, notes: Notes, generation: int) -> None:
        self._notes = notes
        self._generation = generation

    def _note(self) -> int:
        info = step_info()
        self._notes.add(
            generation=self._generation,
            run=info.run_id,
            operation=info.operation,
            attempt=info.attempt,
            key=info.idempotency_key,
        )
        return info.attempt

    @step
    async def quick(self, number: int) -> int:
        """Take no time."""
        self._note()
        return number

    @step(retry=Retry(attempts=100, backoff=(0.01, 0.03)))
    async def flicker(self, number: int) -> int:
        """Fail at first."""
        if self._note() <= FAILURES:
            raise RetryableError("not yet")
        return number

    @step
    async def slow(self, number: int) -> int:
        """Take a while, and tell how far it is."""
        self._note()
        for part in range(3):
            await asyncio.sleep(0.005)
            progress(part)
        return number

    @step
    def threaded(self, number: int) -> int:
        """Work in a thread."""
        self._note()
        return number

    @step
    async def fail(self) -> None:
        """Fail for good."""
        self._note()
        raise TerminalError("never")


@workflow
async def toil(ctx: Context, number: int) -> int:
    """A bit of everything. The result is seven times the number."""
    ctx.publish("begun", number)
    total = await ctx.run(Toil.quick, number)
    total += await ctx.run(Toil.flicker, number)
    await ctx.sleep(0.02)
    total += sum(await ctx.map(Toil.slow, [number, number, number], at_once=2))
    total += await ctx.run(Toil.threaded, number)
    total += await ctx.receive("more", int, timeout=3600)
    try:
        await ctx.run(Toil.fail)
    except StepError:
        ctx.publish("failed", number)
    return total


async def work(folder: Path, generation: int) -> None:
    """Open the engine, start this generation's runs, and see all to their end."""
    started = Notes(folder / STARTED)
    steps = Toil(Notes(folder / STEPS), generation)
    async with EmbeddedEngine(folder / JOURNAL, workflows=[toil], steps=[steps]) as engine:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        watched = read_notes(folder / WATCHED)
        notes = Notes(folder / WATCHED)
        seen = {note["run"]: note["offset"] for note in watched}
        for index in range(RUNS_PER_GENERATION):
            number = generation * RUNS_PER_GENERATION + index
            run = await engine.start(toil, number, id=f"toil-{number}")
            started.add(run=run.id)
        async with asyncio.TaskGroup() as group:
            for info in await engine.list(limit=ALL_RUNS):
                run = await engine.get(info.id)
                group.create_task(watch(run, seen.get(run.id, 0), notes))
                group.create_task(spur(run, number_of(run.id)))


async def watch(run: Run[Any], seen: int, notes: Notes) -> None:
    """Note what a watcher sees who had seen that many events before."""
    async for event in run.events(after=seen):
        notes.add(run=run.id, offset=event.offset, type=event.type, operation=event.operation)


async def spur(run: Run[Any], number: int) -> None:
    """Give a run what it waits for."""
    with suppress(RunClosedError):
        await run.signal("more", number, id="once")


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2])))

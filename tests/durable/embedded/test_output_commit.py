"""Workflow code may run ahead of the disk; nothing of it shows before its cause is durable."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, EmbeddedEngine, step, step_info, workflow
from orchestrator.durable.embedded import JournalReader
from orchestrator.durable.runs import EventType
from support.quiet import settle

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.durable.runs import Event

CHAIN = 6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


@pytest.mark.parametrize("group_rows", [3, 50, 1_000])
async def test_a_step_begins_after_its_cause_is_in_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    """With many runs and several groups on their way, each step finds all that led to it in the file."""
    monkeypatch.setattr("orchestrator.journal.writer.GROUP_ROWS", group_rows)
    too_early: list[str] = []

    @step
    async def look(before: int) -> int:
        info = step_info()
        events = reader.events(info.run_id)
        ended = sum(event.type is EventType.STEP_COMPLETED for event in events)
        said = sum(event.type is EventType.PUBLISHED for event in events)
        if (ended, said) < (before, before + 1):
            too_early.append(info.idempotency_key)
        return before + 1

    @workflow
    async def chain(ctx: Context) -> int:
        done = 0
        for _ in range(CHAIN):
            ctx.publish("next", done)
            done = await ctx.run(look, done)
        return done

    async with EmbeddedEngine(path, workflows=[chain], steps=[look]) as engine:
        with JournalReader(path) as reader:
            runs = await asyncio.gather(*[engine.start(chain) for _ in range(100)])
            assert await asyncio.gather(*[run.result() for run in runs]) == [CHAIN] * 100
    assert too_early == []


async def test_neither_result_nor_event_nor_step_shows_while_the_disk_is_slow(path: Path) -> None:
    """With a write that does not end: no start returns, no step begins, watchers see nothing."""
    slow = False
    writing, go_on = threading.Event(), threading.Event()
    called: list[str] = []

    def fault(point: str) -> None:
        if slow and point == "before-write":
            writing.set()
            go_on.wait()

    @step
    async def call(name: str) -> str:
        called.append(name)
        return name

    @workflow
    async def greet(ctx: Context) -> str:
        name = await ctx.receive("name", str)
        return await ctx.run(call, name)

    async with EmbeddedEngine(path, workflows=[greet], steps=[call], fault=fault) as engine:
        run = await engine.start(greet)
        result = asyncio.create_task(run.result())
        seen: list[Event] = []

        async def watch() -> None:
            async for event in run.events():
                seen.append(event)  # noqa: PERF401  # seen as it comes, not at the end

        watching = asyncio.create_task(watch())
        await settle(engine)
        while not seen:  # noqa: ASYNC110  # the first event is read in a thread
            await asyncio.sleep(0)
        slow = True
        try:
            sending = asyncio.create_task(run.signal("name", "ann"))
            starting = asyncio.create_task(engine.start(greet))
            await asyncio.to_thread(writing.wait)
            for _ in range(20):
                await asyncio.sleep(0)
            assert [task.done() for task in (sending, starting, result)] == [False] * 3
            assert called == []
            assert [event.type for event in seen] == [EventType.RUN_STARTED]
        finally:
            slow = False
            go_on.set()
        await sending
        await starting
        assert await result == "ann"
        await watching
        assert seen[-1].type is EventType.RUN_COMPLETED

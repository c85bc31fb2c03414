"""Plain ``def`` steps: a thread each, a bound that is no timeout, and no hold on the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from orchestrator import Context, EmbeddedEngine, Retry, step, workflow
from orchestrator.durable.embedded import runner

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_waiting_for_a_thread_is_no_part_of_a_steps_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps queue for threads before their time begins, and never more run side by side."""
    monkeypatch.setattr(runner, "MOST_THREADS", 4)
    loop_time, passed_s = asyncio.get_running_loop().time, 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: loop_time() + passed_s)
    busy: set[int] = set()
    most = 0
    lock = threading.Lock()

    def pass_an_hour() -> None:
        nonlocal passed_s
        passed_s += 3_600.0

    # Whenever four steps are at work: of ten hours that each may take, and of twenty for them all.
    together = threading.Barrier(4, pass_an_hour, timeout=60.0)

    @step(timeout=36_000.0)
    def work(number: int) -> int:
        nonlocal most
        with lock:
            busy.add(number)
            most = max(most, len(busy))
        together.wait()
        with lock:
            busy.remove(number)
        return number

    @workflow
    async def crowd(ctx: Context) -> list[int]:
        return await ctx.map(work, range(80))

    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[crowd], steps=[work]) as engine:
        assert await (await engine.start(crowd)).result() == list(range(80))
    assert most == 4


async def test_a_step_that_raises_generator_exit_fails(tmp_path: Path) -> None:
    """An exception that Python uses to end generators ends the step, not the run's progress."""

    @step(retry=Retry(attempts=1))
    async def odd() -> None:
        raise GeneratorExit

    @workflow
    async def tries(ctx: Context) -> str:
        try:
            await ctx.run(odd)
        except Exception as error:  # noqa: BLE001  # whatever the step's error is
            return getattr(error, "type", "")
        return ""

    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[tries], steps=[odd]) as engine:
        assert await (await engine.start(tries)).result() == "GeneratorExit"


HOLDING = """
import asyncio, sys, threading
from orchestrator import Context, EmbeddedEngine, step, workflow
from orchestrator.durable.embedded import runner

runner.CLOSE_GRACE_S = 0.2
began = threading.Event()

@step
def stuck() -> None:
    began.set()
    threading.Event().wait()

@workflow
async def waits(ctx: Context) -> None:
    await ctx.run(stuck)

@workflow
async def swallows(ctx: Context) -> None:
    while True:
        try:
            await ctx.sleep(3_600)
        except BaseException:
            pass

async def main() -> None:
    async with EmbeddedEngine(sys.argv[1], workflows=[waits, swallows], steps=[stuck]) as engine:
        await engine.start(waits)
        await engine.start(swallows)
        await asyncio.to_thread(began.wait)
    print("closed")

asyncio.run(main())
"""


def test_neither_a_thread_nor_a_workflow_that_does_not_end_holds_the_process(tmp_path: Path) -> None:
    """A step that never returns, and code that catches everything, are left behind at the end."""
    done = subprocess.run(
        [sys.executable, "-c", HOLDING, str(tmp_path / "runs.db")],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "closed\n"

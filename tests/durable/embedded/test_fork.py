"""Forks on the embedded engine: their time, and what a crash leaves of them."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, EmbeddedEngine, step, workflow
from orchestrator.core.errors import TerminalError
from orchestrator.durable.errors import RunFailedError
from orchestrator.journal import JournalError
from orchestrator.testing import ManualClock
from support.contract_lab import Gates
from support.quiet import settle

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0


class PowerCutError(Exception):
    """The power was cut."""


class Steps:
    """One step that fails at first, and one that does not."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.broken = True

    @step
    async def count(self, number: int) -> int:
        """Give the number."""
        self.calls.append(number)
        return number

    @step
    async def last(self, number: int) -> int:
        """Fail while broken."""
        self.calls.append(number)
        if self.broken:
            raise TerminalError("broken")
        return number


@workflow
async def counting(ctx: Context) -> list[Any]:
    """Three steps and something random."""
    counted: list[Any] = await ctx.map(Steps.count, [1, 2, 3])
    ctx.publish("counted", counted)
    return [*counted, ctx.random.random(), await ctx.run(Steps.last, 4)]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_wait_that_was_open_keeps_what_was_left_of_it(tmp_path: Path, *, restarts: bool) -> None:
    """A limit of a minute of which 20 seconds had passed has 40 left, however old the first run is."""
    clock = ManualClock()
    gates = Gates()

    @workflow
    async def limited(ctx: Context) -> str:
        began = ctx.now()
        await ctx.sleep(20)
        try:
            async with asyncio.timeout(60):
                await ctx.receive("go")
                return await ctx.run(Gates.wait, "gate")
        except TimeoutError:
            return f"late after {(ctx.now() - began).total_seconds():g}"

    def engine_at(path: Path) -> EmbeddedEngine:
        return EmbeddedEngine(path, workflows=[limited], steps=[gates], clock=clock)

    async with engine_at(tmp_path / "runs.db") as engine:
        run = await engine.start(limited)
        await settle(engine)
        clock.jump(20)
        await settle(engine)
        clock.jump(20)
        await run.signal("go")
        await gates.reached("gate")
        clock.jump(DAY_S)
        assert await run.result() == f"late after {DAY_S + 40:g}"
        fork = await run.fork(from_step="Gates.wait")
        await settle(engine, lambda: 1)
        clock.jump(39)
        await settle(engine, lambda: 1)
        if not restarts:
            assert (await fork.describe()).closed_at is None
            clock.jump(1)
            assert await fork.result() == f"late after {DAY_S + 80:g}"
    if restarts:
        async with engine_at(tmp_path / "runs.db") as engine:
            found = await engine.get(fork.id)
            await settle(engine, lambda: 1)
            assert (await found.describe()).closed_at is None
            clock.jump(1)
            assert await found.result() == f"late after {DAY_S + 80:g}"


@pytest.mark.parametrize("rows_in_a_group", [1, 1_000])
async def test_a_fork_survives_a_crash_at_each_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_in_a_group: int
) -> None:
    """It is there whole or not at all; asked for again, it is there once, and repeats nothing."""
    monkeypatch.setattr("orchestrator.journal.writer.GROUP_ROWS", rows_in_a_group)
    steps = Steps()
    source = tmp_path / "source.db"
    async with EmbeddedEngine(source, workflows=[counting], steps=[steps]) as engine:
        run = await engine.start(counting, id="first")
        with pytest.raises(RunFailedError):
            await run.result()
    steps.broken = False

    passed, results = 0, []

    def power(point: str) -> None:
        nonlocal passed
        passed += 1
        if passed == cut_at:
            raise PowerCutError(point)

    cut_at = 0
    for cut_at in range(200):
        passed = 0
        steps.calls.clear()
        path = tmp_path / f"{cut_at}.db"
        shutil.copy(source, path)
        with suppress(JournalError):
            async with EmbeddedEngine(path, workflows=[counting], steps=[steps], fault=power) as engine:
                await (await (await engine.get("first")).fork(id="fork")).result()
        async with EmbeddedEngine(path, workflows=[counting], steps=[steps]) as engine:
            fork = await (await engine.get("first")).fork(id="fork")
            results.append(await fork.result())
            assert [info.id for info in await engine.list()] == ["fork", "first"]
            offsets = [event.offset async for event in fork.events()]
            assert offsets == list(range(1, len(offsets) + 1))
        assert set(steps.calls) == {4}
        if 0 < passed < cut_at:
            break
    assert cut_at > 5
    assert results.count(results[0]) == len(results)

"""Knowing that an engine has nothing to do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, EmbeddedEngine, workflow
from orchestrator.core.turns import TURN_S
from orchestrator.durable.embedded.settling import QUIET_TURNS
from orchestrator.durable.errors import RunClosedError
from support.dam import Dam, turns

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_engine_with_calls_in_turn_is_not_settled(tmp_path: Path) -> None:
    """Much that is ready at once takes many turns of the loop, and all of it counts."""
    made: list[int] = []

    def call(number: int) -> None:
        time.sleep(TURN_S)  # so that the next call has to wait for the loop's next turn
        made.append(number)

    async with EmbeddedEngine(tmp_path / "runs.db") as engine:
        assert engine._services is not None
        for number in range(4 * QUIET_TURNS):
            engine._services.journal.turns.add(call, number)
        await engine.settled()
        assert made == list(range(4 * QUIET_TURNS))


@workflow
async def one_word(ctx: Context) -> str:
    """Wait for a word."""
    return await ctx.receive("word", str)


async def test_who_comes_while_a_run_ends_is_told_how_it_ended(tmp_path: Path) -> None:
    """Not what the run was before, while its end is still on its way to the disk."""
    dam = Dam()
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[one_word], fault=dam) as engine:
        run = await engine.start(one_word)
        dam.close()
        last = asyncio.ensure_future(run.signal("word", "last"))
        await dam.held()
        late, pause = asyncio.ensure_future(run.signal("word", "late")), asyncio.ensure_future(run.pause())
        await turns()
        dam.open()
        await last
        with pytest.raises(RunClosedError, match="is completed and takes no signals"):
            await late
        with pytest.raises(RunClosedError, match="is completed and cannot be paused"):
            await pause

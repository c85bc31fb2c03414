"""What a session asks of its database is done to the end, on SQLite without waiting where nothing waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from sqlalchemy import select

from orchestrator.db import Database
from orchestrator.db.session import begun_at_once, whole
from orchestrator.features.days.tables import IntentRow

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    class Done(Protocol):
        """One of the two that do work to its end."""

        async def __call__(self, work: Coroutine[Any, Any, int]) -> int:
            """What the work gives."""
            ...


BOTH = pytest.mark.parametrize("done", [whole, begun_at_once])


async def test_a_read_of_a_file_is_done_before_anybody_elses_turn(tmp_path: Path) -> None:
    """Its one connection is not held while others work."""
    async with Database(tmp_path / "tables.db") as database:
        others = list[str]()
        asyncio.get_running_loop().call_soon(others.append, "had their turn")
        async with database.session("ada") as session:
            assert await session.all(select(IntentRow)) == []
        assert others == []


@BOTH
async def test_who_is_cancelled_learns_of_it_when_the_work_is_done(done: Done) -> None:
    """However often; a driver would leave its locks behind otherwise."""
    goes_on, steps = asyncio.Event(), list[str]()

    async def work() -> int:
        for step in ("first", "last"):
            steps.append(step)
            await goes_on.wait()
        return 1

    task = asyncio.create_task(done(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["first", "last"]


@BOTH
async def test_results_and_errors_come_through(done: Done) -> None:
    """Those of work that waits and of work that does not, and the errors that it handles itself."""
    broken = asyncio.get_running_loop().create_future()
    broken.set_exception(ValueError("of the driver"))

    async def recovers() -> int:
        await asyncio.sleep(0)
        try:
            await broken
        except ValueError:
            await asyncio.sleep(0)
        return 2

    async def returns() -> int:
        return 3

    async def fails(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise KeyError(turns)

    assert await done(recovers()) == 2
    assert await done(returns()) == 3
    for turns in range(3):
        with pytest.raises(KeyError, match=str(turns)):
            await done(fails(turns))

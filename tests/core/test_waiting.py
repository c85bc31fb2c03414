"""Waiting by a clock."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.clock import SystemClock
from orchestrator.core.waiting import passed, time_limit, whole
from orchestrator.testing.clock import ManualClock
from support.scripted_agent import settled


async def test_so_long_is_by_the_clock() -> None:
    """Not a moment less."""
    clock = ManualClock()
    waiting = asyncio.ensure_future(passed(clock, 5))
    await settled()
    await clock.advance(seconds=4.9)
    assert not waiting.done()
    await clock.advance(seconds=0.1)
    await waiting


async def test_what_takes_too_long_is_cancelled() -> None:
    """Once the clock shows that moment, and not before."""
    clock = ManualClock()

    async def slow() -> None:
        async with time_limit(clock, clock.time() + 5):
            await asyncio.Event().wait()

    waiting = asyncio.ensure_future(slow())
    await settled()
    await clock.advance(seconds=4.9)
    await settled()
    assert not waiting.done()
    await clock.advance(seconds=0.1)
    with pytest.raises(TimeoutError):
        await waiting


async def test_what_ends_in_time_is_left_alone() -> None:
    """Also afterwards."""
    clock = ManualClock()
    async with time_limit(clock, clock.time() + 5):
        pass
    await clock.advance(seconds=10)


async def test_a_limit_that_has_passed_ends_the_first_wait() -> None:
    """On the machine's clock as on others."""
    clock = SystemClock()
    with pytest.raises(TimeoutError):
        async with time_limit(clock, clock.time() - 1):
            await asyncio.Event().wait()


async def test_a_cancel_from_outside_stays_one() -> None:
    """It is no timeout."""
    clock = ManualClock()

    async def slow() -> None:
        async with time_limit(clock, clock.time() + 5):
            await asyncio.Event().wait()

    waiting = asyncio.ensure_future(slow())
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await clock.advance(seconds=10)


async def test_who_is_cancelled_learns_of_it_when_the_work_is_done() -> None:
    """However often; what is interrupted half-way would leave its locks behind."""
    work = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(whole(work))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await settled()
    assert not waiting.done()
    work.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_results_and_errors_come_through() -> None:
    """Those of work that is done already too."""
    done, failed = (asyncio.get_running_loop().create_future() for _ in range(2))
    done.set_result(3)
    failed.set_exception(KeyError("of the work"))
    assert await whole(done) == 3
    with pytest.raises(KeyError, match="of the work"):
        await whole(failed)

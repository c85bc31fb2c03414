"""The machine's clock: wake-ups follow what it shows, whichever way somebody sets it."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.clock import SystemClock

NOON = 1_767_268_800.0
DAY_S = 86_400.0


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the machine's clock shows: the last of these. Long waits look again every 5 ms."""
    times = [NOON]
    monkeypatch.setattr("orchestrator.core.clock.time.time", lambda: times[-1])
    monkeypatch.setattr("orchestrator.core.clock.RECHECK_S", 0.005)
    return times


async def test_a_clock_set_forward_wakes_who_is_due(shown: list[float]) -> None:
    """A wait for tomorrow ends soon after the clock shows tomorrow."""
    woken = asyncio.Event()
    SystemClock().call_at(NOON + DAY_S, woken.set)
    shown.append(NOON + DAY_S)
    await woken.wait()


async def test_a_clock_set_back_wakes_nobody_early_and_is_looked_at_in_peace(
    monkeypatch: pytest.MonkeyPatch, shown: list[float]
) -> None:
    """A wake-up never comes before its time, and waiting for it costs one look per interval."""
    woken, looked = asyncio.Event(), asyncio.Event()
    looks: list[float] = []

    def look() -> float:
        looks.append(shown[-1])
        if len(looks) > 8:
            looked.set()
        return shown[-1]

    monkeypatch.setattr("orchestrator.core.clock.time.time", look)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    SystemClock().call_at(NOON + 0.001, woken.set)
    shown.append(NOON - DAY_S)
    await looked.wait()
    assert not woken.is_set()
    assert loop.time() - begun >= 0.005
    shown.append(NOON + DAY_S)
    await woken.wait()


async def test_a_wake_up_that_was_called_off_does_not_come(shown: list[float]) -> None:
    """Others at the same moment do."""
    woken, never = asyncio.Event(), asyncio.Event()
    SystemClock().call_at(NOON + 1, never.set).cancel()
    SystemClock().call_at(NOON + 1, woken.set)
    shown.append(NOON + 1)
    await woken.wait()
    assert not never.is_set()

"""Work that an engine does now and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.core.errors import UnavailableError
from orchestrator.durable.temporal.rounds import rounds

if TYPE_CHECKING:
    import pytest


async def test_a_round_that_fails_is_told_and_followed_by_another(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the next round nor the engine's close suffers from it."""
    begun: asyncio.Queue[int] = asyncio.Queue()

    async def work(_closing: asyncio.Event) -> None:
        begun.put_nowait(1)
        raise UnavailableError("the server does not answer")

    async with rounds(work, every_s=0.001):
        await begun.get()
        await begun.get()
    assert "left until the next round: the server does not answer" in caplog.text


async def test_a_round_under_way_is_told_to_end_and_waited_for() -> None:
    """What it calls is not left behind when the engine closes."""
    begun = asyncio.Event()
    ended = False

    async def work(closing: asyncio.Event) -> None:
        nonlocal ended
        begun.set()
        await closing.wait()
        await asyncio.sleep(0)
        ended = True

    async with rounds(work, every_s=60):
        await begun.wait()
    assert ended

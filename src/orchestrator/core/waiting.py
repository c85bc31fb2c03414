"""Waiting by a ``Clock``: so long, or for something until a moment at the latest."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.core.clock import Clock


async def passed(clock: Clock, seconds: float, *, background: bool = False) -> None:
    """Wait so long, as the clock has it; nobody waits for what is in the ``background``."""
    over = asyncio.Event()
    wake = clock.call_at(clock.time() + seconds, over.set, background=background)
    try:
        await over.wait()
    finally:
        wake.cancel()


@asynccontextmanager
async def time_limit(clock: Clock, until: float) -> AsyncIterator[None]:
    """Cancel what is inside once ``clock`` shows ``until`` (seconds since 1970).

    Raises:
        TimeoutError: that moment came before the end.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        wake = clock.call_at(until, lambda: limit.reschedule(loop.time()))
        try:
            yield
        finally:
            wake.cancel()

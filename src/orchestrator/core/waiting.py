"""Waiting: so long by a ``Clock``, until a moment at the latest, or to the end whatever comes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.core.clock import Clock

T = TypeVar("T")


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


async def whole(work: asyncio.Future[T]) -> T:
    """Wait for ``work`` to its end, also when the caller is cancelled meanwhile, who learns of it then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        work.exception()  # seen, so that asyncio does not report it as forgotten
        raise cancelled
    return work.result()

"""Work that an engine does now and again while it is open."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from orchestrator.core.errors import OrchestratorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

log = logging.getLogger(__name__)


@asynccontextmanager
async def rounds(work: Callable[[asyncio.Event], Awaitable[object]], every_s: float) -> AsyncIterator[None]:
    """Do ``work`` at once and every ``every_s`` seconds while inside; a round that fails is logged.

    A round under way is waited for, since Temporal's SDK may keep a process from ending that leaves a call;
    the event that ``work`` is given tells it to come to its end.
    """
    closing = asyncio.Event()
    going = asyncio.create_task(_go_round(work, every_s, closing))
    try:
        yield
    finally:
        closing.set()
        await going


async def _go_round(
    work: Callable[[asyncio.Event], Awaitable[object]], every_s: float, closing: asyncio.Event
) -> None:
    while not closing.is_set():
        try:
            await work(closing)
        except OrchestratorError as error:
            log.warning("left until the next round: %s", error)
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), every_s)

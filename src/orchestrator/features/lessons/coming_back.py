"""Where a watcher goes on who comes back with the id of the last event."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.features.lessons.events import BEGINNING, Position

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.durable.engine import Run

# Finding an event takes milliseconds; a busy machine gets its time.
KNOWN_WITHIN_S: Final = 5.0
COME_BACK_AFTER_S: Final = 5.0
FIRST_OFFSET: Final = 1


async def known(after: Position, runs: Mapping[int, Run[Any]]) -> Position:
    """``after`` if there is such an event; the very beginning if not, since then it is none of ours.

    Raises:
        UnavailableError: no events can be read now, so nobody knows.
    """
    run = runs.get(after.run)
    if run is None:
        return BEGINNING
    if not after.offset:
        return after
    try:
        if await _has_event(run, after.offset):
            return after
        if await _has_event(run, FIRST_OFFSET):
            return BEGINNING
    except NotFoundError:  # deleted meanwhile
        return BEGINNING
    raise UnavailableError(
        "The events of the session cannot be read right now. Come back in a moment.",
        code="events_unavailable",
        retry_after=COME_BACK_AFTER_S,
    )


async def _has_event(run: Run[Any], offset: int) -> bool:
    """Whether there is an event of that offset or a later one. Only what is not there yet makes this wait."""
    with suppress(TimeoutError):
        async with asyncio.timeout(KNOWN_WITHIN_S):
            async for _ in run.events(offset - 1):
                return True
    return False

"""How long to wait before the next try at something that is not there yet, or away for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from orchestrator.core.errors import UnavailableError
from orchestrator.core.waiting import passed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from orchestrator.core.clock import Clock

T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0

log = structlog.get_logger()


def growing_pauses() -> Iterator[float]:
    """Seconds to wait, time after time, each twice as long as the one before up to a limit; without end."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


async def patiently(call: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """What ``call`` gives, as soon as the part that it needs is there; it is called until then.

    An answer that was lost is no answer, so a call that changes something must be one that may be repeated.
    """
    pauses = growing_pauses()
    while True:
        try:
            return await call()
        except UnavailableError as error:
            pause_s = next(pauses)
            log.info("waiting for a part that is away", reason=error.message, seconds=pause_s)
        await passed(clock, pause_s)

"""How long the stream of events is kept: long enough for whoever comes back, and never without bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.core.waiting import passed
from orchestrator.streams.port import PAGE
from orchestrator.web.events.erasures import ERASED, Erasures
from orchestrator.web.events.event import STREAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Clock
    from orchestrator.streams import Streams

KEPT_FOR_S: Final = 7 * 86_400.0
MOST_KEPT: Final = 100_000
TRIMMED_EVERY_S: Final = 3_600.0


class Retention:
    """Trims the stream of events, and that of erasures. What webhooks have not seen yet stays."""

    def __init__(self, streams: Callable[[], Streams], clock: Clock) -> None:
        self._streams = streams
        self._clock = clock
        self._erasures = Erasures(streams, clock)

    async def keep_always(self) -> None:
        """Trim hour after hour, and purge what is there of those erased lately.

        Raises:
            UnavailableError: the stream is away. Call again.
        """
        while True:
            await self.trim()
            await self._erasures.purge()
            await passed(self._clock, TRIMMED_EVERY_S, background=True)

    async def trim(self) -> None:
        """Remove what is older than a week, and of the rest all but the last 100,000."""
        streams, oldest = self._streams(), self._clock.time() - KEPT_FOR_S
        for stream in (STREAM, ERASED):
            await streams.trim(stream, keep=MOST_KEPT)
            removed = PAGE
            while removed == PAGE:
                page = await streams.read(stream, limit=PAGE)
                old = [entry for entry in page if entry.at < oldest]
                removed = await streams.trim(stream, before=old[-1].offset + 1) if old else 0

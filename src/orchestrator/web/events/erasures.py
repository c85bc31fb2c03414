"""Who was erased lately, so that a relay that read their events before brings none of them back.

It is noted in a stream of its own, by a digest: whoever reads that learns no names.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from orchestrator.streams.port import PAGE
from orchestrator.web.events.event import STREAM, readable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orchestrator.core.clock import Clock
    from orchestrator.streams import Streams

ERASED: Final = "wisely.erased"
# A relay that died between the stream and the tables left its events in the stream; the purge of each of the
# hours after an erasure finds them.
PURGED_FOR_S: Final = 3 * 3_600.0


class Erasures:
    """The erasures of the last week: what was made before one is not told after it."""

    def __init__(self, streams: Callable[[], Streams], clock: Clock) -> None:
        self._streams = streams
        self._clock = clock

    async def note(self, owner: str) -> None:
        """From now on nothing is told that this owner's things have done until now."""
        await self._streams().append(ERASED, "erased", b"", key=_digest(owner))

    async def cover(self, events: list[tuple[str, datetime]]) -> list[bool]:
        """Of each event, by its owner and its moment, whether it is from before the owner's erasure."""
        moments = await self._moments(since=0.0)
        return [_is_covered(moments, owner, at) for owner, at in events] if moments else [False] * len(events)

    async def purge(self) -> int:
        """Remove from the stream what is there of those erased in the last hours; gives how many events."""
        moments = await self._moments(since=self._clock.time() - PURGED_FOR_S)
        if not moments:
            return 0
        removed, after, may_be_more = 0, 0, True
        while may_be_more and (entries := await self._streams().read(STREAM, after)):
            events = [event for event in map(readable, entries) if event is not None]
            covered = [event.offset for event in events if _is_covered(moments, event.owner, event.at)]
            if covered:
                removed += await self._streams().remove(STREAM, covered)
            after, may_be_more = entries[-1].offset, len(entries) == PAGE
        return removed

    async def _moments(self, since: float) -> dict[str, float]:
        """When each was erased last, in seconds since 1970, by digest."""
        moments: dict[str, float] = {}
        after, may_be_more = 0, True
        while may_be_more and (entries := await self._streams().read(ERASED, after)):
            moments |= {entry.key: entry.at for entry in entries if entry.at >= since}
            after, may_be_more = entries[-1].offset, len(entries) == PAGE
        return moments


def _is_covered(moments: dict[str, float], owner: str, at: datetime) -> bool:
    return at.timestamp() <= moments.get(_digest(owner), 0.0)


def _digest(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()

"""What was told of a person's things on the stream of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_jsonable_python

from orchestrator.core.errors import InvalidInputError
from orchestrator.streams import DeadLetter, dead_letters
from orchestrator.streams.port import PAGE
from orchestrator.web.events import STREAM, Event
from orchestrator.web.events.event import readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orchestrator.streams import Entry, Streams

DEAD: Final = dead_letters(STREAM)  # where entries go that nobody could take


class Told:
    """The events of any person that are still in the stream, which is trimmed with time."""

    def __init__(self, streams: Callable[[], Streams]) -> None:
        self._streams = streams

    async def all(self, user: str) -> AsyncIterator[dict[str, Any]]:
        """Each event."""
        for stream in (STREAM, DEAD):
            async for page in self._pages(stream, user):
                for event in page.values():
                    yield to_jsonable_python(event)

    async def remove(self, user: str) -> int:
        """Remove them; how many there were."""
        removed = 0
        for stream in (STREAM, DEAD):
            async for page in self._pages(stream, user):
                removed += await self._streams().remove(stream, list(page))
        return removed

    async def _pages(self, stream: str, user: str) -> AsyncIterator[dict[int, Event]]:
        """The user's events by their places in ``stream``."""
        after = 0
        while entries := await self._streams().read(stream, after):
            after = entries[-1].offset
            found = {entry.offset: _event(entry, stream) for entry in entries}
            yield {offset: event for offset, event in found.items() if event and event.owner == user}
            if len(entries) < PAGE:
                return


def _event(entry: Entry, stream: str) -> Event | None:
    """The event of an entry; None where somebody else wrote one that is none."""
    try:
        return readable(DeadLetter.of(entry).entry if stream == DEAD else entry)
    except InvalidInputError:
        return None

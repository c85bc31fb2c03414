"""What streams and groups share: running scripts on a stream, reading a page, hearing its news."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from orchestrator.streams.checks import LARGEST_OFFSET, check_utf8
from orchestrator.streams.dead_letters import dead_letters
from orchestrator.streams.port import PAGE
from orchestrator.streams.redis.names import entry_of, stem_of
from orchestrator.streams.redis.news import News
from orchestrator.streams.redis.scripts import PAGE_OF

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.streams.port import Entry
    from orchestrator.streams.redis.connection import RedisConnection
    from orchestrator.streams.redis.news import Channel
    from orchestrator.streams.redis.scripts import Script


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a stream, with its id, None where there is none, and when its time is over, if ever."""

    birth: bytes | None
    ends: float | None
    entries: list[Entry]


class Store:
    """One Redis, by one clock and one prefix of keys."""

    def __init__(self, connection: RedisConnection, clock: Clock, prefix: str) -> None:
        self.connection = connection
        self.clock = clock
        self.news = News(connection, clock)
        self._prefix = prefix

    async def run(self, script: Script, stream: str, *values: str | bytes | int) -> object:
        """Run a script on a stream, and on its dead letters. Raises what the connection does."""
        check_utf8(stream)
        keys = stem_of(self._prefix, stream), stem_of(self._prefix, dead_letters(stream))
        return await self.connection.run(script, keys, repr(self.clock.time()), *values)

    async def page(self, stream: str, after: int, limit: int) -> Page:
        """Up to ``limit`` entries above ``after``."""
        after = min(max(after, 0), LARGEST_OFFSET)
        reply = await self.run(PAGE_OF, stream, after, limit)
        birth, ends, entries = cast("tuple[bytes | None, bytes | None, list[object]]", reply)
        return Page(birth, float(ends) if ends else None, [entry_of(raw) for raw in entries])

    async def join(self, stream: str) -> Channel:
        """The news of a stream; whoever joins leaves again. Raises what ``News.join`` does."""
        return await self.news.join(
            stem_of(self._prefix, stream), lambda after: self.page(stream, after, PAGE)
        )


def new_id() -> str:
    """An id by which a new stream or group is told from an earlier one of its name."""
    return uuid.uuid4().hex

"""The streams port over Redis."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, cast

from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import SettingsError
from orchestrator.streams.checks import (
    check_entries,
    check_expiry,
    check_group,
    check_removal,
    check_trim,
    check_utf8,
)
from orchestrator.streams.follower import follow
from orchestrator.streams.port import PAGE, NewEntry
from orchestrator.streams.redis import scripts
from orchestrator.streams.redis.connection import RedisConnection, patiently
from orchestrator.streams.redis.groups import RedisGroup
from orchestrator.streams.redis.store import Store, new_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from types import TracebackType

    from orchestrator.core.clock import Clock
    from orchestrator.streams.follower import Follower
    from orchestrator.streams.port import Entry
    from orchestrator.streams.redis.news import Channel

# The first version that has all that the scripts use.
OLDEST_VERSION = (7, 0)
# No script removes more, so that trimming a long stream keeps nobody waiting.
TRIMMED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What a Redis is that answered: its version, and what is unwise about its settings, if anything is."""

    version: str
    warning: str = ""


class RedisStreams:
    """The streams port over one Redis 7 or later, for as many processes as use the same ``prefix``.

    Open it with ``async with``. Redis need not be there yet: whatever needs it raises an UnavailableError
    after some seconds, and who waits in ``follow`` or in a group's ``read`` goes on when it is back.

    Besides what the port says, all methods raise UnavailableError: Redis does not answer or is full. Whether
    what was under way came through is not known then; an append with ``once`` may be repeated.
    SettingsError: it refuses the password.

    Args:
        url: such as ``redis://user:password@host:6379/0``; ``rediss`` for TLS.
        clock: by which entries are dated, claimed and expire. The clocks of all who share streams must agree.
        prefix: how the names of all keys begin.

    Raises:
        SettingsError: the address is none.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, prefix: str = "orchestrator") -> None:
        self._redis = RedisConnection(url)
        self._store = Store(self._redis, clock or SystemClock(), prefix)

    async def __aenter__(self) -> Self:
        """Open the streams; nothing is asked of Redis yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        await self.close()

    async def close(self) -> None:
        """Close the connections; who waits is told so. Twice is the same as once."""
        await self._redis.close()
        await self._store.news.close()

    async def check(self) -> RedisFacts:
        """Whether Redis answers and is what we need.

        Raises:
            UnavailableError: it does not answer. SettingsError: it is too old, or refuses the password.
        """
        about = await self._redis.about()
        version = str(about["redis_version"])
        if tuple(map(int, version.split(".")[:2])) < OLDEST_VERSION:
            raise SettingsError(
                f"{self._redis.place} has version {version}, and streams need "
                f"{'.'.join(map(str, OLDEST_VERSION))} or later. Update it."
            )
        if about.get("aof_enabled"):
            return RedisFacts(version)
        return RedisFacts(
            version,
            f"{self._redis.place} keeps streams in memory: what came since its last snapshot is lost when it "
            "ends. Set `appendonly yes` there.",
        )

    async def append(self, stream: str, type: str, data: bytes, *, key: str = "", once: bool = False) -> int:
        """Add an entry at the end, as durable as Redis is set to. See the port for ``once``."""
        (offset,) = await self.append_all(stream, [NewEntry(type, data, key, once)])
        return offset

    async def append_all(self, stream: str, entries: Sequence[NewEntry]) -> list[int]:
        """Add these entries in order, in one step and one round trip."""
        check_entries(entries)
        if not entries:
            return []
        values = [
            value
            for entry in entries
            for value in (entry.type, entry.key, "1" if entry.once else "", entry.data)
        ]
        return cast("list[int]", await self._store.run(scripts.APPEND, stream, new_id(), *values))

    async def read(self, stream: str, after: int = 0, limit: int = PAGE) -> list[Entry]:
        """Up to ``limit`` entries with offsets above ``after``."""
        return (await self._store.page(stream, after, limit)).entries

    async def last(self, stream: str) -> int:
        """The offset of the last entry, trimmed or not; 0 where there never was one."""
        return cast("int", await self._store.run(scripts.LAST, stream))

    async def follow(self, stream: str, after: int = 0) -> AsyncGenerator[Entry, None]:
        """Every entry above ``after``: first what is there, then each one as it comes.

        It ends when the stream is deleted. When Redis is gone for a while it goes on where it was.
        """
        birth = cast("bytes", await self._store.run(scripts.BEGIN, stream, new_id()))
        channel = await self._store.join(stream)
        try:
            source = _StreamOfRedis(self._store, stream, birth, channel)
            async with aclosing(follow(source, after)) as entries:
                async for entry in entries:
                    yield entry
        finally:
            await self._store.news.leave(channel)

    async def group(
        self, stream: str, name: str, *, after: int | Literal["end"] = 0, most_deliveries: int = 5
    ) -> RedisGroup:
        """The group of that name, made if there is none. See the port for the arguments."""
        check_group(after, most_deliveries)
        check_utf8(name)
        found = await self._store.run(scripts.OPEN_GROUP, stream, name, new_id(), new_id(), str(after))
        return RedisGroup(self._store, stream, name, cast("bytes", found).decode(), most_deliveries)

    async def groups(self, stream: str) -> list[str]:
        """The names of the stream's groups, sorted."""
        names = cast("list[bytes]", await self._store.run(scripts.GROUPS, stream))
        return sorted(name.decode() for name in names)

    async def trim(
        self,
        stream: str,
        *,
        keep: int | None = None,
        before: int | None = None,
        unacknowledged: bool = False,
    ) -> int:
        """Remove entries from the beginning, and give how many. See the port for the arguments."""
        check_trim(keep, before)
        measure, number = ("before", before or 0) if keep is None else ("keep", keep)
        removed = 0
        while True:
            now_removed = await self._store.run(
                scripts.TRIM, stream, measure, number, "1" if unacknowledged else "", TRIMMED_AT_ONCE
            )
            removed += cast("int", now_removed)
            if not now_removed:  # fewer than were asked for may be those between removed ones
                return removed

    async def remove(self, stream: str, offsets: Sequence[int]) -> int:
        """Remove these entries wherever they are; gives how many there were."""
        check_removal(offsets)
        return cast("int", await self._store.run(scripts.REMOVE, stream, *offsets))

    async def expire(self, stream: str, after_s: float | None) -> None:
        """Forget the stream once nobody has appended to it for so long; None: never."""
        check_expiry(after_s)
        await self._store.run(
            scripts.EXPIRE, stream, new_id(), "" if after_s is None else repr(float(after_s))
        )

    async def delete(self, stream: str) -> None:
        """Forget a stream, its entries and groups; nothing happens when there is none."""
        await self._store.run(scripts.DELETE, stream)


@dataclass(frozen=True, slots=True)
class _StreamOfRedis:
    """One stream, as a follower reads it; by its id, so that no new stream of its name is taken for it."""

    store: Store
    stream: str
    birth: bytes
    channel: Channel

    def listen(self, follower: Follower) -> None:
        """Tell the follower of each entry that comes from now on."""
        self.channel.listen(follower, self.birth)

    def unlisten(self, follower: Follower) -> None:
        """Tell the follower no more."""
        self.channel.unlisten(follower)

    async def page(self, follower: Follower, after: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries above ``after``, once Redis is there."""
        page = await patiently(lambda: self.store.page(self.stream, after, limit))
        if page.birth != self.birth:
            follower.end()
            return []
        self.channel.ends_at(page.ends)
        return page.entries

"""Consumer groups in Redis."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, cast

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.streams.checks import check_utf8, page_size
from orchestrator.streams.port import PAGE, Delivery, Pending
from orchestrator.streams.redis import group_scripts as scripts
from orchestrator.streams.redis.connection import patiently
from orchestrator.streams.redis.names import entry_of, pending_of
from orchestrator.streams.redis.store import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.streams.redis.news import Channel
    from orchestrator.streams.redis.scripts import Script
    from orchestrator.streams.redis.store import Store


class RedisGroup:
    """A handle of a group; see the port. Each call is one script, so one step for all processes."""

    def __init__(self, store: Store, stream: str, name: str, id: str, most_deliveries: int) -> None:
        self._store = store
        self._stream = stream
        self._name = name
        self._id = id
        self._most_deliveries = most_deliveries

    async def read(self, consumer: str, limit: int = 100, wait_s: float | None = None) -> list[Delivery]:
        """Hand out entries that nobody was handed yet, and wait for some."""
        check_utf8(consumer)
        now = self._store.clock.time()
        reading = _Reading(self, consumer, page_size(limit), now)
        deadline = None if wait_s is None else now + wait_s
        if await reading.take() or (deadline is not None and deadline <= now):
            return reading.taken

        def is_late() -> bool:
            return deadline is not None and self._store.clock.time() >= deadline

        channel = await patiently(lambda: self._store.join(self._stream), is_late)
        try:
            await self._wait(reading, channel, deadline, is_late)
        finally:
            await self._store.news.leave(channel)
        return reading.taken

    async def ack(self, *offsets: int) -> int:
        """Nobody gets these again."""
        acknowledged = 0
        unique = list(dict.fromkeys(offsets))
        for start in range(0, max(1, len(unique)), PAGE):
            acknowledged += cast("int", await self.run(scripts.ACK, *unique[start : start + PAGE]))
        return acknowledged

    async def reject(self, offset: int, reason: str) -> bool:
        """Move an entry to the dead letters."""
        place = json.dumps(self._stream), json.dumps(self._name)
        return await self.run(scripts.REJECT, offset, new_id(), *place, json.dumps(reason)) == 1

    async def claim(
        self, consumer: str, idle_s: float, limit: int = 100, *, held_by: str | None = None
    ) -> list[Delivery]:
        """Take over what was handed out and not acknowledged for so long."""
        check_utf8(consumer, held_by or "")
        # What was handed out while the clock was ahead counts as handed out now.
        latest = "+inf" if idle_s <= 0 else repr(self._store.clock.time() - idle_s)
        whose = ("", "") if held_by is None else ("1", held_by)
        place = json.dumps(self._stream), json.dumps(self._name)
        values = (consumer, latest, page_size(limit), *whose, self._most_deliveries, new_id(), *place)
        while True:
            idle, handed = cast(
                "tuple[int, list[tuple[object, int]]]", await self.run(scripts.CLAIM, *values)
            )
            if handed or not idle:
                return [Delivery(entry_of(raw), count) for raw, count in handed]

    async def pending(self, after: int = 0, limit: int = PAGE) -> list[Pending]:
        """What is held."""
        found = cast("list[bytes]", await self.run(scripts.PENDING, after, page_size(limit)))
        return [pending_of(raw) for raw in found]

    async def lag(self) -> int:
        """How many entries nobody was handed yet."""
        return cast("int", await self.run(scripts.LAG))

    async def delete(self) -> None:
        """Forget the group."""
        await self._store.run(scripts.DELETE_GROUP, self._stream, self._name, self._id)

    async def run(self, script: Script, *values: str | int) -> object:
        """Run a script on the group.

        Raises:
            NotFoundError: it was deleted. Others as the connection.
        """
        reply = await self._store.run(script, self._stream, self._name, self._id, *values)
        if reply is None:
            raise NotFoundError(
                f"group {self._name!r} of stream {self._stream!r} was deleted; open it anew",
                code="group_deleted",
            )
        return reply

    async def _wait(
        self, reading: _Reading, channel: Channel, deadline: float | None, is_late: Callable[[], bool]
    ) -> None:
        """Until something was taken or the time is over."""
        with channel.crowd(self._id) as crowd:
            try:
                while True:
                    heard, late = crowd.heard, is_late()
                    if await patiently(reading.take, is_late) or late:
                        return
                    channel.ends_at(reading.ends)
                    reading.more = True  # as long as he has not asked again, who may be cancelled before
                    await crowd.changed(heard, self._store.clock, deadline)
            finally:
                # Whoever was woken and leaves something, or goes away, wakes the next.
                if reading.more:
                    crowd.pass_on()


class _Reading:
    """One call of ``read``. It takes once: when the reply to a try is lost, the next one gives the same."""

    def __init__(self, group: RedisGroup, consumer: str, limit: int, began: float) -> None:
        self._group = group
        self._values = (consumer, limit, secrets.token_hex(4))
        self._lost_at = ""
        self._began = began
        self.taken: list[Delivery] = []
        self.more = True
        self.ends: float | None = None

    async def take(self) -> Sequence[Delivery]:
        """What there is. Raises what ``RedisGroup.run`` does."""
        try:
            reply = await self._group.run(scripts.READ, *self._values, self._lost_at)
        except UnavailableError:
            self._lost_at = repr(self._began)
            raise
        entries, more, ends = cast("tuple[list[object], int, bytes | None]", reply)
        self.taken = [Delivery(entry_of(raw), 1) for raw in entries]
        self.more = bool(more)
        self.ends = float(ends) if ends else None
        return self.taken

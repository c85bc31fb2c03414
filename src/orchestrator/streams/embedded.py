"""Streams in the journal's file. Waiting costs no polling: a commit wakes those who follow."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Literal

from orchestrator.core.errors import InvalidInputError
from orchestrator.streams.follower import follow
from orchestrator.streams.groups import Groups
from orchestrator.streams.log import Log, check_utf8
from orchestrator.streams.port import PAGE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from orchestrator.core.clock import Clock
    from orchestrator.journal import Group, Journal
    from orchestrator.streams.groups import EmbeddedGroup
    from orchestrator.streams.port import Entry

# A commit removes no more, so that trimming a long stream keeps nobody waiting.
TRIMMED_AT_ONCE = 1_000


class EmbeddedStreams:
    """The streams port over a journal.

    The durable engine stages the entries of its runs itself, in one commit with what they mean, so it uses
    ``create`` and ``stage``; everyone else uses the port.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._log = Log(journal)
        self._groups = Groups(journal, clock, self._log)

    def create(self, name: str, owner: str = "") -> int:
        """Stage a new stream and give its number. The caller knows that the name is free."""
        return self._log.create(name, owner)

    def stage(self, number: int, offset: int, at: float, type: str, key: str, data: bytes) -> Group:
        """Stage an entry whose offset the caller keeps.

        Raises:
            UnicodeEncodeError: a key or type with a lone surrogate.
        """
        return self._log.stage(number, offset, at, type, key, data)

    async def append(self, stream: str, type: str, data: bytes, *, key: str = "") -> int:
        """Add an entry at the end; durable when this returns. Gives its offset.

        Raises:
            JournalFullError: nothing can be written now. JournalError: nor later.
            TypeError: ``data`` is not bytes. UnicodeEncodeError: a name, key or type with a lone surrogate.
        """
        check_utf8(stream, type, key)
        if not isinstance(data, bytes):
            raise TypeError(
                f"append(data=…) takes bytes, and was given {data.__class__.__name__}; encode it first"
            )
        self._journal.check_writable()
        await self._log.settled(stream)
        offset, commit = self._log.append(stream, self._clock.time(), type, key, data)
        self._journal.flush()
        await self._journal.durable(commit)
        return offset

    async def read(self, stream: str, after: int = 0, limit: int = PAGE) -> list[Entry]:
        """Up to ``limit`` entries with offsets above ``after``."""
        number = self._log.find(stream)
        return [] if number is None else await self._log.page(number, after, limit)

    async def follow(self, stream: str, after: int = 0) -> AsyncGenerator[Entry, None]:
        """Every entry above ``after``: first what is there, then each one as it becomes durable.

        It ends when the stream is deleted.
        """
        await self._log.settled(stream)
        number = self._log.ensure(stream)
        self._journal.flush()
        async with aclosing(self.follow_number(number, after)) as entries:
            async for entry in entries:
                yield entry

    def follow_number(self, number: int, after: int = 0) -> AsyncGenerator[Entry, None]:
        """Follow a stream by its number, until it is deleted."""
        return follow(self._log, number, after)

    async def group(
        self, stream: str, name: str, *, after: int | Literal["end"] = 0, most_deliveries: int = 5
    ) -> EmbeddedGroup:
        """The group of that name, made if there is none. See the port for the arguments."""
        return await self._groups.open(stream, name, after, most_deliveries)

    async def groups(self, stream: str) -> list[str]:
        """The names of the stream's groups, sorted."""
        return await self._groups.names(stream)

    async def trim(
        self,
        stream: str,
        *,
        keep: int | None = None,
        before: int | None = None,
        unacknowledged: bool = False,
    ) -> int:
        """Remove entries from the beginning, and give how many. See the port for the arguments."""
        if (keep is None) == (before is None) or min(keep or 0, before or 0) < 0:
            raise InvalidInputError("trim takes either keep or before, a number from 0 on")
        self._journal.check_writable()
        await self._log.settled(stream)
        number = self._log.find(stream)
        if number is None:
            return 0
        upto = self._log.extent(number).end - (keep or 0) if before is None else before - 1
        first = None if unacknowledged else self._groups.first_unacknowledged(number)
        return await self._remove(number, upto if first is None else min(upto, first - 1))

    async def delete(self, stream: str) -> None:
        """Forget a stream, its entries and groups; nothing happens when there is none."""
        number = self._log.find(stream)
        if number is None:
            return
        self._journal.check_writable()
        self._groups.deleted(number)
        await self._log.delete(stream, number)

    def stage_delete(self, number: int) -> Group:
        """Stage the end of a stream, its entries and its groups."""
        self._groups.deleted(number)
        return self._log.stage_delete(number)

    async def _remove(self, number: int, upto: int) -> int:
        removed = 0
        extent = self._log.extent(number)
        while extent.trimmed < min(upto, extent.end):
            cut = min(upto, extent.end, extent.trimmed + TRIMMED_AT_ONCE)
            removed += cut - extent.trimmed
            extent.trimmed = cut
            commit = self._log.trim(number, cut)
            self._groups.trimmed(number, cut)
            self._journal.flush()
            await self._journal.durable(commit)
        return removed

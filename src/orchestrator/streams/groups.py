"""Consumer groups in the journal's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestrator.core.errors import NotFoundError
from orchestrator.journal import Statement, UnderWay
from orchestrator.streams.checks import check_group, check_utf8, page_size
from orchestrator.streams.dead_letters import DeadLetter, dead_letters
from orchestrator.streams.ledger import Held, Ledger
from orchestrator.streams.log import Extent
from orchestrator.streams.port import PAGE, Delivery, NewEntry, Pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from orchestrator.core.clock import Clock
    from orchestrator.journal import Group as Commit
    from orchestrator.journal import Journal
    from orchestrator.streams.log import Log
    from orchestrator.streams.port import Entry

# A replacement never conflicts, so no commit can fail by these.
SET_GROUP = Statement(
    4, "INSERT OR REPLACE INTO consumer_groups (number, stream, name, position) VALUES {rows}", 4, keyed=True
)
DELIVER = Statement(
    5, "INSERT OR REPLACE INTO deliveries (consumer_group, offset, consumer, at, count) VALUES {rows}", 5
)
# Written after what is handed out in the same commit: what was settled is not handed out again.
SETTLE = Statement(
    6,
    "WITH settled (number, settled_offset) AS (VALUES {rows}) DELETE FROM deliveries "
    "WHERE (consumer_group, offset) IN (SELECT number, settled_offset FROM settled)",
    2,
)
DROP_DELIVERIES = Statement(6, "DELETE FROM deliveries WHERE consumer_group IN ({rows})", 1)
DROP_GROUP = Statement(7, "DELETE FROM consumer_groups WHERE number IN ({rows})", 1)


class Groups:
    """The groups that were opened since the file was; each has one ledger, however many handles."""

    def __init__(self, journal: Journal, clock: Clock, log: Log) -> None:
        self.journal = journal
        self.clock = clock
        self.log = log
        self._ledgers: dict[int, dict[str, Ledger]] = {}
        self._creating: UnderWay[int] = UnderWay(journal)
        self._deleting: UnderWay[tuple[int, str]] = UnderWay(journal)
        self._last_number: int = journal.read("SELECT coalesce(max(number), 0) FROM consumer_groups")[0][0]

    async def open(
        self, stream: str, name: str, after: int | Literal["end"], most_deliveries: int
    ) -> EmbeddedGroup:
        """The group of that name, durable when this returns. See the port for the arguments."""
        check_group(after, most_deliveries)
        check_utf8(stream, name)
        self.journal.check_writable()
        await self._settled(stream, name)
        number = self.log.ensure(stream)
        ledger = self._ledgers.get(number, {}).get(name) or self._opened(number, name, after)
        self.journal.flush()
        await ledger.load(self.journal)
        await self._creating.over(ledger.number)
        return EmbeddedGroup(self, ledger, stream, most_deliveries)

    async def names(self, stream: str) -> list[str]:
        """The names of a stream's groups, sorted."""
        rows = await self.journal.fetch(
            "SELECT consumer_groups.name FROM consumer_groups JOIN streams ON streams.number = stream "
            "WHERE streams.name = ? ORDER BY consumer_groups.name",
            (stream,),
        )
        return [row[0] for row in rows]

    def first_unacknowledged(self, stream: int) -> int | None:
        """The lowest offset that some group has not acknowledged; None where there is no group."""
        rows = self.journal.read(
            "SELECT min(coalesce((SELECT min(offset) FROM deliveries WHERE consumer_group = number), "
            "position + 1)) FROM consumer_groups WHERE stream = ?",
            (stream,),
        )
        first: int | None = rows[0][0]
        return first

    def trimmed(self, stream: int, upto: int) -> None:
        """The removal of the entries up to that offset was staged."""
        for ledger in self._ledgers.get(stream, {}).values():
            ledger.trimmed(upto)

    def deleted(self, stream: int) -> None:
        """The end of a stream was staged."""
        for ledger in self._ledgers.pop(stream, {}).values():
            self._end(ledger)

    async def delete(self, ledger: Ledger) -> None:
        """Forget a group; its name is free again once this is durable."""
        place = ledger.stream, ledger.name
        if not ledger.gone:
            self.journal.check_writable()
            del self._ledgers[ledger.stream][ledger.name]
            self._end(ledger)
            self.journal.stage(DROP_DELIVERIES, (ledger.number,))
            commit = self.journal.stage(DROP_GROUP, (ledger.number,))
            self._deleting.add(place, commit)
            self.journal.flush()
        await self._deleting.over(place)

    def _opened(self, stream: int, name: str, after: int | Literal["end"]) -> Ledger:
        extent = self.log.extent(stream)
        rows = self.journal.read(
            "SELECT number, position FROM consumer_groups WHERE stream = ? AND name = ?", (stream, name)
        )
        if rows:
            number, position = rows[0]
        else:
            self._last_number += 1
            number, position = self._last_number, extent.end if after == "end" else after
            commit = self.journal.stage(SET_GROUP, (number, stream, name, position))
            self._creating.add(number, commit)
        durable = Extent(self.log.durable_extent(stream).end, extent.trimmed)
        ledger = self._ledgers.setdefault(stream, {})[name] = Ledger(number, stream, name, position, durable)
        self.log.listen(stream, ledger)
        return ledger

    def _end(self, ledger: Ledger) -> None:
        self.log.unlisten(ledger.stream, ledger)
        ledger.end()

    async def _settled(self, stream: str, name: str) -> None:
        """Until neither the stream nor the group is being deleted."""
        await self.log.settled(stream)
        while await self._deleting.over((self.log.find(stream) or 0, name)):
            await self.log.settled(stream)


class EmbeddedGroup:
    """A handle of a group; see the port.

    Every call that hands out stages it all in one turn of the loop, so in one commit, and waits for the disk.
    """

    def __init__(self, groups: Groups, ledger: Ledger, stream: str, most_deliveries: int) -> None:
        self._groups = groups
        self._journal = groups.journal
        self._clock = groups.clock
        self._log = groups.log
        self._ledger = ledger
        self._stream = stream
        self._most_deliveries = most_deliveries

    async def read(self, consumer: str, limit: int = 100, wait_s: float | None = None) -> list[Delivery]:
        """Hand out entries that nobody was handed yet, and wait for some."""
        check_utf8(consumer)
        limit = page_size(limit)
        deadline = None if wait_s is None else self._clock.time() + wait_s
        try:
            while True:
                self._check_writable()
                if offsets := self._ledger.take(limit):
                    if deliveries := await self._hand_out(consumer, offsets):
                        return deliveries
                elif deadline is not None and self._clock.time() >= deadline:
                    return []
                else:
                    await self._ledger.changed(self._clock, deadline)
        finally:
            self._ledger.pass_on()

    async def ack(self, *offsets: int) -> int:
        """Nobody gets these again."""
        self._check_writable()
        held = [offset for offset in dict.fromkeys(offsets) if offset in self._ledger.held]
        if held:
            await self._durable([self._settle(offset) for offset in held])
        return len(held)

    async def reject(self, offset: int, reason: str) -> bool:
        """Move an entry to the dead letters."""
        self._check_writable()
        if offset not in self._ledger.held:
            return False
        entries = await self._readable([offset])
        held = self._ledger.held.get(offset)
        if held is None:
            return False
        await self._durable([self._bury(entries.get(offset), offset, held, reason)])
        return offset in entries

    async def claim(
        self, consumer: str, idle_s: float, limit: int = 100, *, held_by: str | None = None
    ) -> list[Delivery]:
        """Take over what was handed out and not acknowledged for so long."""
        check_utf8(consumer)
        limit = page_size(limit)
        self._check_writable()
        while idle := self._ledger.idle(self._clock.time(), idle_s, limit, held_by):
            entries = await self._readable(idle)
            # What was acknowledged, rejected or claimed while the file was read is left alone.
            still = {offset: held for offset, held in idle.items() if self._ledger.held.get(offset) is held}
            if deliveries := await self._hand_on(consumer, still, entries):
                return deliveries
        return []

    async def pending(self, after: int = 0, limit: int = PAGE) -> list[Pending]:
        """What is held, as it is on the disk."""
        self._check_there()
        rows = await self._journal.fetch(
            "SELECT offset, consumer, at, count FROM deliveries WHERE consumer_group = ? AND offset > ? "
            "ORDER BY offset LIMIT ?",
            (self._ledger.number, after, page_size(limit)),
        )
        return [Pending(*row) for row in rows]

    async def lag(self) -> int:
        """How many entries nobody was handed yet."""
        self._check_there()
        return self._ledger.lag

    async def delete(self) -> None:
        """Forget the group."""
        await self._groups.delete(self._ledger)

    async def _hand_out(self, consumer: str, offsets: range) -> list[Delivery]:
        now = self._clock.time()
        ledger = self._ledger
        for offset in offsets:
            self._hold(offset, Held(consumer, now, 1))
        place = (ledger.number, ledger.stream, ledger.name, ledger.position)
        commit = self._journal.stage(SET_GROUP, place)
        self._journal.flush()
        entries = await self._log.entries(ledger.stream, offsets)
        for offset in offsets:
            if offset not in entries:  # trimmed meanwhile
                commit = self._settle(offset)
        await self._durable([commit])
        return [Delivery(entry, 1) for entry in entries.values()]

    async def _hand_on(
        self, consumer: str, idle: Mapping[int, Held], entries: Mapping[int, Entry]
    ) -> list[Delivery]:
        """Give what was idle to another consumer, or to the dead letters."""
        now = self._clock.time()
        commits, deliveries = [], []
        for offset, held in sorted(idle.items()):
            entry = entries.get(offset)
            if entry is None or held.count >= self._most_deliveries:
                reason = f"handed out {held.count} times and never acknowledged"
                commits.append(self._bury(entry, offset, held, reason))
            else:
                commits.append(self._hold(offset, Held(consumer, now, held.count + 1)))
                deliveries.append(Delivery(entry, held.count + 1))
        await self._durable(commits)
        return deliveries

    def _hold(self, offset: int, held: Held) -> Commit:
        self._ledger.hold(offset, held)
        return self._journal.stage(DELIVER, (self._ledger.number, offset, held.consumer, held.at, held.count))

    def _settle(self, offset: int) -> Commit:
        self._ledger.held.pop(offset, None)
        return self._journal.stage(SETTLE, (self._ledger.number, offset))

    def _bury(self, entry: Entry | None, offset: int, held: Held, reason: str) -> Commit:
        """Settle an entry, and make it a dead letter in the same commit, unless it is there no more."""
        commit = self._settle(offset)
        if entry is not None:
            letter = DeadLetter(entry, self._stream, self._ledger.name, held.consumer, held.count, reason)
            place = dead_letters(self._stream)
            self._log.append(place, self._clock.time(), NewEntry(entry.type, letter.data(), entry.key))
        return commit

    async def _readable(self, offsets: Iterable[int]) -> dict[int, Entry]:
        """Those entries, at a moment at which dead letters can be staged too."""
        entries = await self._log.entries(self._ledger.stream, offsets)
        await self._log.settled(dead_letters(self._stream))
        self._check_writable()
        return entries

    async def _durable(self, commits: list[Commit]) -> None:
        if commits:
            self._journal.flush()
            await self._journal.durable(commits[-1])

    def _check_writable(self) -> None:
        self._journal.check_writable()
        self._check_there()

    def _check_there(self) -> None:
        if self._ledger.gone:
            raise NotFoundError(
                f"group {self._ledger.name!r} of stream {self._stream!r} was deleted; open it anew",
                code="group_deleted",
            )

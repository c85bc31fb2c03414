"""The journal's file as streams have it: names, numbers, entries, and news of what was committed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

from orchestrator.journal import Statement, UnderWay
from orchestrator.streams.checks import check_utf8
from orchestrator.streams.expiry import Expiries
from orchestrator.streams.port import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.journal import Group, Journal, JournalError
    from orchestrator.streams.follower import Follower
    from orchestrator.streams.port import NewEntry

ADD_STREAM = Statement(0, "INSERT INTO streams (number, name, owner) VALUES {rows}", 3)
ADD_ENTRY = Statement(2, "INSERT INTO entries (stream, offset, at, type, key, data) VALUES {rows}", 6)
# Rows that come later replace those of the same stream and key.
SET_KEY = Statement(2, "INSERT OR REPLACE INTO entry_keys (stream, key, offset) VALUES {rows}", 3)
SET_TRIMMED = Statement(
    3,
    "WITH cut (stream, upto) AS (VALUES {rows}) "
    "UPDATE streams SET trimmed = cut.upto FROM cut WHERE number = cut.stream",
    2,
    keyed=True,
)
TRIM_DELIVERIES = Statement(
    6,
    "WITH cut (stream, upto) AS (VALUES {rows}) DELETE FROM deliveries WHERE (consumer_group, offset) IN "
    "(SELECT consumer_group, offset FROM cut CROSS JOIN consumer_groups AS groups "
    "ON groups.stream = cut.stream CROSS JOIN deliveries "
    "ON consumer_group = groups.number AND offset <= upto)",
    2,
    keyed=True,
)
DELETE_DELIVERIES = Statement(
    6,
    "DELETE FROM deliveries WHERE consumer_group IN "
    "(SELECT number FROM consumer_groups WHERE stream IN ({rows}))",
    1,
)
DELETE_GROUPS = Statement(7, "DELETE FROM consumer_groups WHERE stream IN ({rows})", 1)
TRIM_KEYS = Statement(
    7,
    "WITH cut (stream, upto) AS (VALUES {rows}) DELETE FROM entry_keys WHERE (stream, key, offset) IN "
    "(SELECT entries.stream, key, offset FROM cut CROSS JOIN entries "
    "ON entries.stream = cut.stream AND offset <= upto)",
    2,
    keyed=True,
)
# Of a stream whose last entry was removed, the empty key keeps its offset, which no entry's key is.
LAST_REMOVED = ""
REMOVE_KEYS = Statement(
    7,
    "WITH gone (stream, offset) AS (VALUES {rows}) DELETE FROM entry_keys WHERE key <> '' "
    "AND (stream, key, offset) IN (SELECT stream, key, offset FROM gone JOIN entries USING (stream, offset))",
    2,
)
DELETE_KEYS = Statement(7, "DELETE FROM entry_keys WHERE stream IN ({rows})", 1)
TRIM_ENTRIES = Statement(
    8,
    "WITH cut (stream, upto) AS (VALUES {rows}) DELETE FROM entries WHERE (stream, offset) IN "
    "(SELECT entries.stream, offset FROM cut CROSS JOIN entries "
    "ON entries.stream = cut.stream AND offset <= upto)",
    2,
    keyed=True,
)
REMOVE_ENTRIES = Statement(8, "DELETE FROM entries WHERE (stream, offset) IN (VALUES {rows})", 2)
DELETE_ENTRIES = Statement(8, "DELETE FROM entries WHERE stream IN ({rows})", 1)
DELETE_STREAM = Statement(9, "DELETE FROM streams WHERE number IN ({rows})", 1)


class Listener(Protocol):
    """Is told of one stream."""

    def push(self, entry: Entry) -> None:
        """This entry became durable, after those before it."""

    def end(self) -> None:
        """The stream is deleted."""

    def fail(self, error: JournalError) -> None:
        """Nothing more will become durable."""


@dataclass(slots=True)
class Extent:
    """The offsets of a stream, with what is staged: the last one, and the last one that was trimmed."""

    end: int
    trimmed: int


@dataclass(frozen=True, slots=True)
class StreamOfLog:
    """One stream of the file, as a follower reads it."""

    log: Log
    number: int

    def listen(self, follower: Follower) -> None:
        """Tell the follower of each entry that becomes durable from now on."""
        self.log.listen(self.number, follower)

    def unlisten(self, follower: Follower) -> None:
        """Tell the follower no more."""
        self.log.unlisten(self.number, follower)

    async def page(self, follower: Follower, after: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries above ``after``; the log tells the follower of the stream's end."""
        del follower
        return await self.log.page(self.number, after, limit)


class Log:
    """Streams in the file. What it stages is durable together with all that is staged in the same turn."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._listeners: dict[int, list[Listener]] = {}
        self._extents: dict[int, Extent] = {}
        self._staged: dict[str, int] = {}
        self._staged_keys: dict[tuple[int, str], tuple[int, Group]] = {}
        self.expiries = Expiries(journal)
        self._deleting: UnderWay[str] = UnderWay(journal)
        self._last_number: int = journal.read("SELECT coalesce(max(number), 0) FROM streams")[0][0]
        journal.listen(self._committed, self._broken)

    def create(self, name: str, owner: str = "") -> int:
        """Stage a new stream and give its number. The caller knows that the name is free."""
        check_utf8(name, owner)
        self._last_number += 1
        self._journal.stage(ADD_STREAM, (self._last_number, name, owner))
        return self._last_number

    def stage(self, number: int, offset: int, at: float, type: str, key: str, data: bytes) -> Group:
        """Stage an entry whose offset the caller keeps."""
        if not key.isascii() or not type.isascii():
            check_utf8(type, key)
        if number in self._extents:
            self._extents[number].end = offset
        return self._journal.stage(ADD_ENTRY, (number, offset, at, type, key, data))

    def append(self, name: str, at: float, entry: NewEntry) -> tuple[int, Group | None]:
        """Stage an entry at the end of a stream that is ``settled``, and give its offset.

        One that is to be there once and is there already is left alone. The group is when this is durable;
        None where it is.
        """
        number = self.ensure(name)
        if entry.once and (there := self._of_key(number, entry.key)):
            return there
        offset = self.extent(number).end + 1
        group = self.stage(number, offset, at, entry.type, entry.key, entry.data)
        if entry.key:
            self._journal.stage(SET_KEY, (number, entry.key, offset))
            self._staged_keys[number, entry.key] = offset, group
        self.expiries.renew(name, at)
        return offset, group

    def find(self, name: str) -> int | None:
        """The number of the stream of that name, if there is one that is not being deleted."""
        if name in self._deleting:
            return None
        if name in self._staged:
            return self._staged[name]
        found = self._journal.read("SELECT number FROM streams WHERE name = ?", (name,))
        return int(found[0][0]) if found else None

    def ensure(self, name: str) -> int:
        """The number of the stream of that name, which is ``settled``; staged if there is none."""
        number = self.find(name)
        if number is None:
            number = self._staged[name] = self.create(name)
            self._extents[number] = Extent(0, 0)
        return number

    def extent(self, number: int) -> Extent:
        """The offsets of a stream, kept current."""
        if number not in self._extents:
            self._extents[number] = self.durable_extent(number)
        return self._extents[number]

    def durable_extent(self, number: int) -> Extent:
        """The offsets of a stream that are on the disk now."""
        rows = self._journal.read(
            "SELECT trimmed, (SELECT max(offset) FROM entries WHERE stream = number), "
            "(SELECT offset FROM entry_keys WHERE stream = number AND key = ?) FROM streams WHERE number = ?",
            (LAST_REMOVED, number),
        )
        trimmed, end, removed = rows[0] if rows else (0, 0, 0)
        return Extent(max(end or 0, removed or 0, trimmed), trimmed)

    async def page(self, number: int, after: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries above ``after``."""
        rows = await self._journal.fetch(
            "SELECT offset, at, type, key, data FROM entries WHERE stream = ? AND offset > ? "
            "ORDER BY offset LIMIT ?",
            (number, after, limit),
        )
        return [Entry(*row) for row in rows]

    async def entries(self, number: int, offsets: Iterable[int]) -> dict[int, Entry]:
        """Those of these entries that there are, in the order of their offsets."""
        rows = await self._journal.fetch(
            "SELECT offset, at, type, key, data FROM entries WHERE stream = ? "
            "AND offset IN (SELECT value FROM json_each(?)) ORDER BY offset",
            (number, json.dumps(list(offsets))),
        )
        return {row[0]: Entry(*row) for row in rows}

    def trim(self, number: int, upto: int) -> Group:
        """Stage the removal of all entries up to that offset, and of their deliveries."""
        self._journal.stage(SET_TRIMMED, (number, upto))
        self._journal.stage(TRIM_DELIVERIES, (number, upto))
        self._journal.stage(TRIM_KEYS, (number, upto))
        return self._journal.stage(TRIM_ENTRIES, (number, upto))

    def remove(self, number: int, offsets: Sequence[int]) -> Group:
        """Stage the removal of these entries, one at least; the stream's end stays what it is."""
        end = self.extent(number).end
        if end in offsets:
            self._journal.stage(SET_KEY, (number, LAST_REMOVED, end))
        for offset in offsets:
            self._journal.stage(REMOVE_KEYS, (number, offset))
        return [self._journal.stage(REMOVE_ENTRIES, (number, offset)) for offset in offsets][-1]

    def delete(self, name: str, number: int) -> Group:
        """Begin to delete a stream; its name is free again once this is durable."""
        group = self.stage_delete(number)
        self._deleting.add(name, group)
        self._staged.pop(name, None)
        self.expiries.drop(name)
        self._journal.flush()
        return group

    def stage_delete(self, number: int) -> Group:
        """Stage the end of a stream, its entries and its groups."""
        self._extents.pop(number, None)
        self._journal.stage(DELETE_DELIVERIES, (number,))
        self._journal.stage(DELETE_GROUPS, (number,))
        self._journal.stage(DELETE_KEYS, (number,))
        self._journal.stage(DELETE_ENTRIES, (number,))
        group = self._journal.stage(DELETE_STREAM, (number,))
        group.then.append(partial(self._gone, number))
        return group

    async def settled(self, name: str) -> None:
        """Until no delete of that stream is under way, for its name is taken so long."""
        await self._deleting.over(name)

    def listen(self, number: int, listener: Listener) -> None:
        """Tell the listener of each entry that becomes durable from now on."""
        self._listeners.setdefault(number, []).append(listener)

    def unlisten(self, number: int, listener: Listener) -> None:
        """Tell the listener no more."""
        listeners = self._listeners[number]
        listeners.remove(listener)
        if not listeners:
            del self._listeners[number]

    def _of_key(self, number: int, key: str) -> tuple[int, Group | None] | None:
        """The last entry of that key, and when it is durable, if there is one."""
        found: tuple[int, Group | None] | None = self._staged_keys.get((number, key))
        if found is None:
            rows = self._journal.read(
                "SELECT offset FROM entry_keys WHERE stream = ? AND key = ?", (number, key)
            )
            found = (rows[0][0], None) if rows else None
        # What is trimmed by now may still be in the file.
        return found if found and found[0] > self.extent(number).trimmed else None

    def _committed(self, group: Group) -> None:
        for number, key, offset in group.rows.get(SET_KEY, ()):
            place = cast("int", number), cast("str", key)
            if self._staged_keys.get(place, (0, group))[0] == offset:
                del self._staged_keys[place]
        if self._staged:
            for number, name, _ in group.rows.get(ADD_STREAM, ()):
                if self._staged.get(cast("str", name)) == number:
                    del self._staged[cast("str", name)]
        if not self._listeners:
            return
        for number, *values in group.rows.get(ADD_ENTRY, ()):
            listeners = self._listeners.get(cast("int", number))
            if listeners:
                entry = Entry(*cast("tuple[int, float, str, str, bytes]", values))
                for listener in listeners:
                    listener.push(entry)

    def _broken(self, error: JournalError) -> None:
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.fail(error)

    def _gone(self, number: int) -> None:
        for listener in self._listeners.get(number, ()):
            listener.end()

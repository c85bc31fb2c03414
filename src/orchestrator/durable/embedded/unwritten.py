"""The histories of runs that are not in memory: read, and added to before what was added is durable."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.durable.embedded.history import SELECT_KEYS, SELECT_LAST_PLACE
from orchestrator.durable.runs import EventType
from orchestrator.streams import Entry

if TYPE_CHECKING:
    from orchestrator.durable.embedded.services import Services
    from orchestrator.journal import Group


class Unwritten:
    """Knows what was added to a run from outside until the file has it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._entries: dict[int, deque[Entry]] = {}

    def add(self, number: int, entry: Entry) -> Group:
        """Stage an entry with its offset; it becomes durable with the group that this gives."""
        self._entries.setdefault(number, deque()).append(entry)
        group = self._services.histories.stage(
            number, entry.offset, entry.at, EventType(entry.type), entry.key, entry.data
        )
        group.then.append(partial(self._written, number))
        self._services.journal.flush()
        return group

    def append(self, number: int, kind: EventType, key: str, data: bytes) -> Group:
        """Stage an entry at the end of a history that has a beginning."""
        last_offset, last_at = self._last(number)
        at = max(last_at, self._services.clock.time())
        return self.add(number, Entry(last_offset + 1, at, kind, key, data))

    def history(self, number: int) -> list[Entry]:
        """All entries of a run, durable or not; those that are durable as they are stored.

        Raises:
            UnreadableError: the journal's file is damaged there.
        """
        stored = self._services.histories.read(number)
        last = stored[-1].offset if stored else 0
        return stored + [entry for entry in self._entries.get(number, ()) if entry.offset > last]

    def keys(self, number: int, kind: EventType) -> list[str]:
        """The keys of all entries of one type of a run, durable or not."""
        unwritten = [entry.key for entry in self._entries.get(number, ()) if entry.type == kind]
        return [key for (key,) in self._services.journal.read(SELECT_KEYS, (number, kind))] + unwritten

    def last_offset(self, number: int) -> int:
        """Of the last entry of a run, durable or not."""
        return self._last(number)[0]

    def _last(self, number: int) -> tuple[int, float]:
        if number in self._entries:
            last = self._entries[number][-1]
            return last.offset, last.at
        found = self._services.journal.read(SELECT_LAST_PLACE, (number,))
        return found[0] if found else (0, 0.0)

    def _written(self, number: int) -> None:
        entries = self._entries[number]
        entries.popleft()
        if not entries:
            del self._entries[number]

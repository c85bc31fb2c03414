"""The histories of runs on their way to the journal and back: sealed, and large values in files."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.durable.codec import SEALED
from orchestrator.durable.embedded.history import (
    ENTRIES_PAGE,
    FORGET_ENTRIES,
    SELECT_ENTRIES,
    SELECT_ENTRIES_PAGE,
    SELECT_LAST_ENTRY,
)
from orchestrator.journal import UnreadableError
from orchestrator.journal.stream_blobs import MOST_IN_ROW_BYTES, POINTER
from orchestrator.streams import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from orchestrator.durable.codec import Codec
    from orchestrator.durable.runs import EventType
    from orchestrator.journal import Group, Journal
    from orchestrator.journal.stream_blobs import StreamBlobs
    from orchestrator.streams import EmbeddedStreams


class Opener:
    """Reads what the rows of a run hold."""

    def __init__(self, codec: Codec, blobs: StreamBlobs) -> None:
        self._codec = codec
        self._blobs = blobs

    @property
    def hides(self) -> bool:
        """Whether values are written so that who has no key cannot read them."""
        return self._codec.hides

    def data(self, number: int, entry: Entry) -> bytes:
        """The data of an entry of run ``number`` as it was recorded.

        Raises:
            UnreadableError: its key or its file is missing, or it was changed; the message names the entry.
        """
        data = entry.data
        if data[:1] not in (POINTER, SEALED):
            return data
        try:
            if data[:1] == POINTER:
                data = self._blobs.load(number, data)
            return self._codec.open(data, *_place(number, entry.offset, entry.type, entry.key))
        except UnreadableError as error:
            what = f"entry {entry.offset} ({' '.join(filter(None, (entry.type, entry.key)))})"
            raise UnreadableError(f"{what} cannot be read: {error.message}") from error

    def opened(self, number: int, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with their data as it was recorded.

        Raises:
            UnreadableError: as in ``data``.
        """
        return [
            replace(entry, data=self.data(number, entry)) if is_sealed(entry) else entry for entry in entries
        ]


class Histories(Opener):
    """Writes the histories of one engine's runs, and reads them."""

    def __init__(self, journal: Journal, streams: EmbeddedStreams, codec: Codec) -> None:
        super().__init__(codec, journal.blobs)
        self._journal = journal
        self._streams = streams

    def stage(self, number: int, offset: int, at: float, kind: EventType, key: str, data: bytes) -> Group:
        """Stage an entry of run ``number``; whoever counts its offsets says which one.

        Raises:
            UnicodeEncodeError: a key with a lone surrogate.
        """
        if self._codec.hides:
            data = self._codec.seal(data, *_place(number, offset, kind, key))
        if len(data) > MOST_IN_ROW_BYTES:
            blob, data = self._journal.blobs.blob(number, offset, data)
            self._journal.stage_blob(blob)
        return self._streams.stage(number, offset, at, kind, key, data)

    def stage_forget(self, number: int, up_to: int) -> None:
        """Stage the end of a run's entries up to that offset, and of their files."""
        self._journal.stage_removal(self._journal.blobs.removal(number, up_to=up_to))
        self._journal.stage(FORGET_ENTRIES, (number, up_to))

    def stage_removal(self, number: int, offsets: Iterable[int]) -> None:
        """Stage the end of the files of these entries, whose end is staged in the same turn of the loop."""
        self._journal.stage_removal(self._journal.blobs.removal(number, offsets=offsets))

    def stage_delete(self, number: int) -> Group:
        """Stage the end of a run's stream with all its entries and files."""
        self._journal.stage_removal(self._journal.blobs.removal(number))
        return self._streams.stage_delete(number)

    def read(self, number: int) -> list[Entry]:
        """All durable entries of a run, at once, as they are stored: ``data`` gives what they hold.

        Raises:
            UnreadableError: the journal's file is damaged there.
        """
        try:
            rows = self._journal.read(SELECT_ENTRIES, (number,))
        except sqlite3.DatabaseError as error:
            raise UnreadableError(f"{self._journal.path} is damaged: {error}") from error
        return [Entry(*row) for row in rows]

    async def fetch(self, number: int) -> list[Entry]:
        """All durable entries of a run, read and opened in a thread.

        Raises:
            UnreadableError: one of them cannot be read.
        """
        entries: list[Entry] = []
        while True:
            after = entries[-1].offset if entries else 0
            page = await self._journal.fetch(SELECT_ENTRIES_PAGE, (number, after, ENTRIES_PAGE))
            entries += await self._opened([Entry(*row) for row in page], number)
            if len(page) < ENTRIES_PAGE:
                return entries

    def last(self, number: int) -> bytes:
        """What the last durable entry of a run holds, at once.

        Raises:
            UnreadableError: it cannot be read.
        """
        return self.data(number, self._last(number))

    async def fetch_last(self, number: int) -> bytes:
        """The same, read in a thread where it is large.

        Raises:
            UnreadableError: it cannot be read.
        """
        return (await self._opened([self._last(number)], number))[0].data

    async def follow(self, number: int, after: int) -> AsyncIterator[Entry]:
        """A run's entries as they become durable.

        Raises:
            UnreadableError: one of them cannot be read.
        """
        async for entry in self._streams.follow_number(number, after):
            yield (await self._opened([entry], number))[0]

    def _last(self, number: int) -> Entry:
        return Entry(*self._journal.read(SELECT_LAST_ENTRY, (number,))[0])

    async def _opened(self, entries: list[Entry], number: int) -> list[Entry]:
        if not any(map(is_sealed, entries)):
            return entries
        return await self._journal.in_thread(partial(self.opened, number, entries))


def is_sealed(entry: Entry) -> bool:
    """Whether its row holds something else than what was recorded."""
    return entry.data[:1] in (POINTER, SEALED)


def _place(number: int, offset: int, kind: str, key: str) -> tuple[str, str]:
    """Where a value belongs: it opens nowhere else."""
    return f"run {number}", f"{offset} {kind} {key}"

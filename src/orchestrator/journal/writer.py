"""The writer thread: what is waiting is committed as one group."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
import threading
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

from orchestrator.journal.errors import JournalError
from orchestrator.journal.stream_blobs import remove_blobs, write_blobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.core.turns import Turns
    from orchestrator.journal.stream_blobs import Removal, StreamBlob

# A group with this many rows takes no more once the turn of the loop that filled it is over.
GROUP_ROWS = 1_000
# "Started" and progress rows do not wake the writer alone; they ride along, or go after this long.
LAZY_S = 0.010
FULL_RETRY_S = 1.0

# How SQLite says that the disk is full; the second when the index of its log cannot grow.
FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")

# How the system says it for a file; the second when it is the user's share that is used up.
FULL_FOR_FILES = (errno.ENOSPC, errno.EDQUOT)

# Rows per SQL statement. Python's SQLite gives up the interpreter lock at every statement and may wait
# milliseconds to get it back, so many rows go in one; these sizes keep the statements few and cached.
CHUNKS = (256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 7, 6, 5, 4, 3, 2, 1)

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A write of many rows. ``sql`` has ``{rows}`` where they go; the lowest ``order`` is written first.

    Of ``keyed`` rows with the same first column, a group writes the one that was staged last.
    """

    order: int
    sql: str
    columns: int
    keyed: bool = False

    def sized(self, rows: int) -> str:
        """The SQL for exactly that many rows."""
        row = f"({','.join('?' * self.columns)})"
        return self.sql.replace("{rows}", ",".join([row] * rows))


@dataclass(slots=True, eq=False)
class Group:
    """Rows that become durable together, and what to call then.

    ``blobs`` are on the disk before them, ``removals`` are made after.
    """

    rows: dict[Statement, list[Row]] = field(default_factory=dict)
    blobs: list[StreamBlob] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    then: list[Callable[[], None]] = field(default_factory=list)
    size: int = 0
    committed: bool = False
    places: dict[tuple[Statement, object], int] = field(default_factory=dict)


def _no_fault(point: str) -> None:
    """Where tests cut the power."""


class Writer:
    """Owns the only connection that writes. All methods are for the event loop's thread.

    A full disk is waited out: the group stays in memory and is tried again. Any other failure of a write ends
    the writer for good, since after a failed sync nobody knows what is on the disk (the fsync findings of
    PostgreSQL, 2018).
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        turns: Turns,
        *,
        on_commit: Callable[[Group], None],
        on_broken: Callable[[JournalError], None],
        fault: Callable[[str], None] = _no_fault,
    ) -> None:
        self._path = path
        self._connection = connection
        self._loop = loop
        self._turns = turns
        self._on_commit = on_commit
        self._on_broken = on_broken
        self._fault = fault
        self._open = Group()
        self._sealed: deque[Group] = deque()
        self._writing: Group | None = None
        self._flush_asked = False
        self._delivering = False
        self._lazy: asyncio.TimerHandle | None = None
        self._statements: dict[tuple[Statement, int], str] = {}
        self._queue: SimpleQueue[Group | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)
        self._thread.start()
        self.full = ""
        self.filled = asyncio.Event()
        self.broken: JournalError | None = None

    def stage(self, statement: Statement, row: Row) -> Group:
        """Add a row to the open group, which this gives. What one turn of the loop stages is never torn."""
        group = self._open
        rows = group.rows.setdefault(statement, [])
        if statement.keyed:
            place = group.places.setdefault((statement, row[0]), len(rows))
            if place < len(rows):
                rows[place] = row
                return group
        rows.append(row)
        group.size += 1
        if group.size == GROUP_ROWS:
            self._loop.call_soon(self._seal, group)
            self.flush()
        return group

    def stage_blob(self, blob: StreamBlob) -> None:
        """Add a file to the open group; the row that names it is staged in the same turn of the loop."""
        self._open.blobs.append(blob)

    def stage_removal(self, removal: Removal) -> None:
        """Add files to be removed; the rows that named them go in the same turn of the loop."""
        self._open.removals.append(removal)

    @property
    def last(self) -> Group | None:
        """The last group that is not durable, if any."""
        if self._open.size:
            return self._open
        return self._sealed[-1] if self._sealed else self._writing

    def after(self, call: Callable[[], None]) -> Group:
        """Call once all that was staged so far is durable, with the group that this gives."""
        group = self._open
        group.then.append(call)
        self.flush()
        return group

    def flush(self) -> None:
        """Have the open group written, together with all that this turn of the loop still adds."""
        if not self._flush_asked and (self._open.size or self._open.then or self._sealed):
            self._flush_asked = True
            if self._writing is None and not self._delivering:
                self._loop.call_soon(self._hand_over)

    def flush_soon(self) -> None:
        """Have the open group written with the next one that is urgent, or within 10 ms."""
        if self._lazy is None and not self._flush_asked:
            self._lazy = self._loop.call_later(LAZY_S, self._lazy_due)

    def stop(self) -> None:
        """End the thread after what it is writing, and close the connection."""
        if self._lazy is not None:
            self._lazy.cancel()
        self._queue.put(None)
        self._thread.join()

    def _seal(self, group: Group) -> None:
        if group is self._open:
            self._sealed.append(group)
            self._open = Group()

    def _lazy_due(self) -> None:
        self._lazy = None
        self.flush()

    def _hand_over(self) -> None:
        if self._writing is not None or self._delivering or self.broken is not None:
            return
        if self._sealed:
            group = self._sealed.popleft()
        else:
            group, self._open = self._open, Group()
            self._flush_asked = False
            if self._lazy is not None:
                self._lazy.cancel()
                self._lazy = None
            if not group.size and not group.then:
                return
        self._writing = group
        self._queue.put(group)

    def _written(self, group: Group) -> None:
        try:
            self._fault("before-delivery")
        except Exception as error:  # noqa: BLE001  # only tests raise here
            self._failed(group, error)
            return
        self.full = ""
        self.filled.clear()
        self._writing = None
        self._delivering = True
        group.committed = True
        self._on_commit(group)
        self._turns.extend(group.then)
        self._turns.add(self._delivered)
        # Runs that wait keep their last group; what it carried is on the disk.
        group.rows.clear()
        group.places.clear()
        group.blobs.clear()
        group.then.clear()

    def _delivered(self) -> None:
        self._delivering = False
        if self._flush_asked or self._sealed:
            self._hand_over()

    def _failed(self, group: Group, error: BaseException) -> None:
        if _is_full(error):
            self.filled.set()
            self.full = f"the disk with {self._path} is full; free some space, and work goes on by itself"
            self._loop.call_later(FULL_RETRY_S, self._queue.put, group)
        elif self.broken is None:
            self.broken = JournalError(f"writing {self._path} failed: {error}. Restart to open it anew.")
            self._on_broken(self.broken)

    def _work(self) -> None:
        while (group := self._queue.get()) is not None:
            try:
                self._commit(group)
            except BaseException as error:  # noqa: BLE001  # told to the loop, which decides
                with contextlib.suppress(sqlite3.Error):
                    self._connection.rollback()
                self._tell(self._failed, group, error)
            else:
                self._tell(self._written, group)
                remove_blobs(group.removals)
        self._connection.close()

    def _tell(self, what: Callable[..., None], *args: object) -> None:
        # A loop that was closed without closing the journal leaves nobody to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *args)

    def _commit(self, group: Group) -> None:
        if group.blobs:
            self._fault("before-blobs")
            write_blobs(group.blobs)
            self._fault("after-blobs")
        self._fault("before-write")
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for statement in sorted(group.rows, key=lambda statement: statement.order):
            rows = group.rows[statement]
            start = 0
            for size in CHUNKS:
                while len(rows) - start >= size:
                    chunk = rows[start : start + size]
                    execute(self._sql(statement, size), [value for row in chunk for value in row])
                    start += size
        self._fault("after-write")
        execute("COMMIT")
        self._fault("after-commit")

    def _sql(self, statement: Statement, size: int) -> str:
        found = self._statements.get((statement, size))
        if found is None:
            found = self._statements[statement, size] = statement.sized(size)
        return found


def _is_full(error: BaseException) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorname in FULL
    return isinstance(error, OSError) and error.errno in FULL_FOR_FILES

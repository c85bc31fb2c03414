"""The journal: one file, one writer, any number of readers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.core.private_files import make_private_file
from orchestrator.core.turns import Turns
from orchestrator.journal.errors import JournalClosedError, JournalError, JournalFullError
from orchestrator.journal.lock import FileLock
from orchestrator.journal.schema import prepare, refused
from orchestrator.journal.stream_blobs import StreamBlobs
from orchestrator.journal.writer import Group, Row, Statement, Writer, _no_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from orchestrator.journal.stream_blobs import Removal, StreamBlob

T = TypeVar("T")

# The writer's statements and those of the queries, each compiled once.
CACHED_STATEMENTS = 256


class Journal:
    """An open journal file. Open and use it from one event loop, in the process that opened it."""

    def __init__(self, path: Path, fault: Callable[[str], None] = _no_fault) -> None:
        """Lock and open the file at ``path``, or make it, and bring it to the current version.

        Raises:
            JournalInUseError: another process has it.
            JournalError: it cannot be written, is damaged, newer, or not ours.
        """
        self.path = path
        self._pid = os.getpid()
        self._closed = False
        self._listeners: list[Callable[[Group], None]] = []
        self._waiting: set[asyncio.Future[None]] = set()
        self._mourners: list[Callable[[JournalError], None]] = []
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            connection = _connect(path)
            try:
                prepare(connection, path)
                self._reader = open_for_reading(path)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise
        self._threaded_reader = open_for_reading(path)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self.blobs = StreamBlobs(path)
        self._sweep(self.blobs.sweep(self._threaded_reader))
        self.turns = Turns(asyncio.get_running_loop())
        self._writer = Writer(
            path,
            connection,
            asyncio.get_running_loop(),
            self.turns,
            on_commit=self._committed,
            on_broken=self._broke,
            fault=fault,
        )

    def listen(self, on_commit: Callable[[Group], None], on_broken: Callable[[JournalError], None]) -> None:
        """Be told of every group that became durable, in order, and of the writer's end if it fails."""
        self._listeners.append(on_commit)
        self._mourners.append(on_broken)

    def stage(self, statement: Statement, row: Row) -> Group:
        """Add a row to the group that is committed next, without asking for it to be soon.

        What is staged between two awaits becomes durable together.
        """
        return self._writer.stage(statement, row)

    def stage_blob(self, blob: StreamBlob) -> None:
        """Have a file written before the row that names it, which is staged before the next await."""
        self._writer.stage_blob(blob)

    def stage_removal(self, removal: Removal) -> None:
        """Have files removed after the rows that named them, whose end is staged before the next await."""
        self._writer.stage_removal(removal)

    def flush(self) -> None:
        """Have what was staged written at the end of this turn of the loop.

        Raises:
            JournalError: this process is a fork of the one that opened the journal.
        """
        self._check_usable()
        self._writer.flush()

    def after(self, call: Callable[[], None]) -> Group:
        """Call once all that was staged so far is durable, with the group that this gives; write it now.

        Raises:
            JournalError: this process is a fork of the one that opened the journal.
        """
        self._check_usable()
        return self._writer.after(call)

    def flush_soon(self) -> None:
        """Have what was staged written with the next group, or within 10 ms."""
        self._writer.flush_soon()

    async def settled(self) -> None:
        """Wait until all that was staged so far is on the disk; not where the disk is full.

        Raises:
            JournalError: it never will be.
        """
        group = self._writer.last
        if group is not None and not self._writer.full:
            self.flush()
            await self.durable(group)

    async def durable(self, group: Group) -> None:
        """Wait until ``group`` is on the disk.

        Raises:
            JournalError: it never will be.
        """
        if group.committed:
            return
        if self._writer.broken is not None:
            raise self._writer.broken
        self._check_usable()
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        group.then.append(partial(_reach, reached))
        self._waiting.add(reached)
        try:
            await reached
        finally:
            self._waiting.discard(reached)

    async def written(self) -> bool:
        """Have all that was staged written, and wait for it; False where nothing was.

        Raises:
            JournalError: it never will be.
        """
        group = self._writer.last
        if group is None:
            return False
        self.flush()
        await self.durable(group)
        return True

    def check_writable(self) -> None:
        """Refuse new work while nothing can be written.

        Raises:
            JournalFullError: the disk is full.
            JournalError: the writer ended, or it is closed, or was opened by another process.
        """
        self._check_usable()
        if self._writer.broken is not None:
            raise self._writer.broken
        if self._writer.full:
            raise JournalFullError(self._writer.full, retry_after=1.0)

    def read(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Rows of a query that touches a few pages at most, at once."""
        self._check_usable()
        return self._reader.execute(sql, values).fetchall()

    async def fetch(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Rows of a query that may take longer, read in a thread."""
        self._check_usable()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, _rows, self._threaded_reader, sql, values)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Make a call that reads from the disk, in the thread that reads."""
        self._check_usable()
        return await asyncio.get_running_loop().run_in_executor(self._reading, call)

    async def close(self) -> None:
        """Write what is staged, unless the disk is full, and close the file."""
        writing = asyncio.ensure_future(self._write_all())
        full = asyncio.ensure_future(self._writer.filled.wait())
        try:
            await asyncio.wait([writing, full], return_when=asyncio.FIRST_COMPLETED)
        finally:
            writing.cancel()
            full.cancel()
            self.abandon()

    def abandon(self) -> None:
        """Close the file without writing what is staged, as a crash would leave it."""
        if self._closed:
            return
        self._closed = True
        self._reading.shutdown()
        self._threaded_reader.close()
        self._reader.close()
        # The last connection to close moves the log into the file, which only this one may.
        self._writer.stop()
        self.turns.stop()
        self._broke(JournalClosedError())
        self._lock.release()

    def _sweep(self, steps: Iterator[None]) -> None:
        """Take a step after the other in the reading thread, behind whoever waits to read."""

        def step() -> None:
            with contextlib.suppress(RuntimeError):  # the journal is closed; the next opening begins anew
                for _ in steps:
                    self._reading.submit(step)
                    return

        self._reading.submit(step)

    async def _write_all(self) -> None:
        with contextlib.suppress(JournalError):
            while await self.written():
                pass

    def _check_usable(self) -> None:
        if self._pid != os.getpid():
            raise JournalError("a journal cannot be used after a fork; open it in the new process")
        if self._closed:
            raise JournalClosedError

    def _committed(self, group: Group) -> None:
        for listener in self._listeners:
            listener(group)

    def _broke(self, error: JournalError) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(error)
        for mourner in self._mourners:
            mourner(error)


def _reach(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for one thread at a time.

    Raises:
        JournalError: there is no such file, or it cannot be read.
    """
    try:
        return sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=CACHED_STATEMENTS,
        )
    except sqlite3.Error as error:
        raise refused(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    make_private_file(path)
    try:
        return sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=CACHED_STATEMENTS
        )
    except sqlite3.Error as error:
        raise refused(path, error) from error


def _rows(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> list[Any]:
    return connection.execute(sql, values).fetchall()

"""Reading runs and schedules from a journal file, without writing, and beside an engine that has it open."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from orchestrator.core.errors import NotFoundError
from orchestrator.core.redaction import Redactor
from orchestrator.durable.codec import codec_for
from orchestrator.durable.embedded.histories import Opener, is_sealed
from orchestrator.durable.embedded.history import (
    ENTRIES_PAGE,
    RUN_STREAM,
    SELECT_ENTRIES,
    SELECT_ENTRIES_PAGE,
    SELECT_LAST_ENTRY,
    SELECT_OPEN,
    SELECT_RUN,
    RunRow,
    reason_in,
    selection,
)
from orchestrator.durable.embedded.schedule_rows import SELECT_SCHEDULES, ScheduleRow
from orchestrator.durable.entries import event_of, steps_of
from orchestrator.durable.runs import EventType, Status
from orchestrator.journal import UnreadableError, check_readable, open_for_reading, refused
from orchestrator.journal.stream_blobs import StreamBlobs
from orchestrator.streams import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from orchestrator.durable.codec import Encryption
    from orchestrator.durable.runs import Event, RunInfo, StepView
    from orchestrator.durable.schedules import ScheduleInfo

# Runs with their histories that are read at once, and rows alone.
OPEN_RUNS_PAGE = 50
ROWS_PAGE = 1_000
NO_LIMIT = -1  # as SQLite has it


class JournalReader:
    """What a journal file says of its runs and schedules; used as a context manager.

    An open run's status is the stored one: only the engine that has it knows whether it waits.
    """

    def __init__(
        self, path: Path, *, encryption: Encryption | None = None, secrets: Iterable[str] = ()
    ) -> None:
        """Open the file at ``path``.

        Args:
            path: of the journal file.
            encryption: the keys of the engine that wrote it, if it encrypts.
            secrets: what no event shows; secrets that look like one need not be given.

        Raises:
            JournalError: it is missing or cannot be read.
            SettingsError: the library that decrypts is not installed.
        """
        self._path = path
        self.opener = Opener(codec_for(encryption), StreamBlobs(path))
        self.redactor = Redactor(secrets)
        self._connection = open_for_reading(path)
        try:
            check_readable(self._connection, path)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def list(  # the port's filters
        self,
        *,
        status: Sequence[Status] = (),
        workflow: str | None = None,
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[RunInfo]:
        """Runs, newest first."""
        sql, values = selection(
            status=status, workflow=workflow, owner=owner, tags=tags, limit=limit, before=before
        )
        return [RunRow(*row).info() for row in self._rows(sql, values)]

    def describe(self, run_id: str) -> RunInfo:
        """Where a run stands.

        Raises:
            NotFoundError: there is none of that id.
        """
        row = self._row(run_id)
        if row.status != Status.FAILED:
            return row.info()
        with contextlib.suppress(UnreadableError):  # then its row tells no more than the kind of error
            last = Entry(*self._rows(SELECT_LAST_ENTRY, [row.number])[0])
            if is_sealed(last):
                return replace(row.info(), reason=reason_in(self.opener.data(row.number, last)))
        return row.info()

    def events(self, run_id: str, after: int = 0) -> Sequence[Event]:
        """What was recorded of a run after that offset.

        Raises:
            NotFoundError: there is none of that id.
            UnreadableError: some of it is encrypted with a key that is not given, or was changed.
        """
        number = self._row(run_id).number
        events: list[Event] = []
        while page := self._rows(SELECT_ENTRIES_PAGE, [number, after, ENTRIES_PAGE]):
            entries = self.opener.opened(number, [Entry(*row) for row in page])
            events += [event_of(entry, self.redactor) for entry in entries]
            after = events[-1].offset
        return events

    def steps(self, run_id: str) -> Sequence[StepView]:
        """A run's steps.

        Raises:
            NotFoundError: there is none of that id. UnreadableError: as in ``events``.
        """
        return steps_of(self.events(run_id))

    def open_runs(self) -> Iterator[Sequence[tuple[RunRow, Sequence[Entry]]]]:
        """All open runs in pages, each with what was recorded of it, unopened, at the same moment."""
        last = 0
        while True:
            # A read that goes on for long would keep the writer's log from being moved into the file.
            self._rows("BEGIN", [])
            try:
                rows = [RunRow(*row) for row in self._rows(SELECT_OPEN, [last, OPEN_RUNS_PAGE])]
                page = [(row, self.entries(row.number)) for row in rows]
            finally:
                self._rows("COMMIT", [])
            if not page:
                return
            yield page
            last = page[-1][0].number

    def open_rows(self) -> Iterator[RunRow]:
        """The rows of all open runs."""
        last = 0
        while page := self._rows(SELECT_OPEN, [last, ROWS_PAGE]):
            for row in page:
                yield RunRow(*row)
            last = page[-1][0]

    def last_entry(self, number: int) -> Entry | None:
        """What was recorded of a run last, unopened; None if it is not there."""
        last = self._rows(SELECT_LAST_ENTRY, [number])
        return Entry(*last[0]) if last else None

    def entries(self, number: int) -> Sequence[Entry]:
        """What was recorded of a run, unopened."""
        return [Entry(*entry) for entry in self._rows(SELECT_ENTRIES, [number])]

    def children(self, run_id: str) -> Sequence[RunInfo]:
        """The child runs that a run began, in their order, as far as they are not deleted.

        Raises:
            NotFoundError: there is none of that id. UnreadableError: as in ``events``.
        """
        begun = [str(event.data) for event in self.events(run_id) if event.type is EventType.CHILD_STARTED]
        found = []
        for child_id in begun:
            with contextlib.suppress(NotFoundError):
                found.append(self.describe(child_id))
        # A fork's history also tells of children of the run that it is a fork of.
        return [child for child in found if child.parent == run_id]

    def schedules(self) -> Sequence[ScheduleInfo]:
        """All schedules, by id, as far as the engine that has them has come."""
        return [ScheduleRow(*row).info() for row in self._rows(SELECT_SCHEDULES, ["", NO_LIMIT])]

    def _row(self, run_id: str) -> RunRow:
        found = self._rows(SELECT_RUN, [RUN_STREAM + run_id])
        if not found:
            raise NotFoundError(f"there is no run {run_id!r}")
        return RunRow(*found[0])

    def _rows(self, sql: str, values: Sequence[object]) -> Sequence[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise refused(self._path, error) from error

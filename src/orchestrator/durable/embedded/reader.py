"""Reading runs and schedules from a journal file, without writing, and beside an engine that has it open."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Self

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.embedded.history import (
    RUN_STREAM,
    SELECT_ENTRIES,
    SELECT_RUN,
    RunRow,
    event_of,
    selection,
    steps_of,
)
from orchestrator.durable.embedded.schedule_rows import SELECT_SCHEDULES, ScheduleRow
from orchestrator.journal import open_for_reading, refused
from orchestrator.streams import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from orchestrator.durable.runs import Event, RunInfo, Status, StepView
    from orchestrator.durable.schedules import ScheduleInfo

NO_LIMIT = -1  # as SQLite has it


class JournalReader:
    """What a journal file says of its runs and schedules; used as a context manager.

    An open run's status is the stored one: only the engine that has it knows whether it waits.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at ``path``.

        Raises:
            JournalError: it is missing or cannot be read.
        """
        self._path = path
        self._connection = open_for_reading(path)

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
        return self._row(run_id).info()

    def events(self, run_id: str, after: int = 0) -> Sequence[Event]:
        """What was recorded of a run after that offset.

        Raises:
            NotFoundError: there is none of that id.
        """
        entries = self._rows(SELECT_ENTRIES, [self._row(run_id).number])
        return [event_of(entry) for entry in (Entry(*row) for row in entries) if entry.offset > after]

    def steps(self, run_id: str) -> Sequence[StepView]:
        """A run's steps.

        Raises:
            NotFoundError: there is none of that id.
        """
        return steps_of(self.events(run_id))

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

"""A journal from which open runs move to another engine. None of them goes on here meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from orchestrator.core.clock import SystemClock
from orchestrator.durable.codec import codec_for
from orchestrator.durable.embedded.histories import Histories
from orchestrator.durable.embedded.history import SELECT_LAST_PLACE, SELECT_OPEN, SET_ENDED, RunRow
from orchestrator.durable.embedded.schedule_rows import (
    DELETE_SCHEDULE,
    SELECT_SCHEDULES,
    ScheduleRow,
    place_of,
)
from orchestrator.durable.moving import OpenRun, OpenSchedule, Stays
from orchestrator.durable.payloads import to_json
from orchestrator.durable.prefix import prefix_of_open
from orchestrator.durable.runs import EventType, Status, identity_of
from orchestrator.journal import Journal, UnreadableError
from orchestrator.streams import EmbeddedStreams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from orchestrator.durable.codec import Encryption
    from orchestrator.streams import Entry

ROWS_PAGE = 1_000


class LeavingJournal:
    """The open runs and schedules of a journal file, which no other process may have: the `Source` of a move.

    Use it as an async context manager.
    """

    def __init__(
        self, path: Path, *, encryption: Encryption | None = None, fault: Callable[[str], None] | None = None
    ) -> None:
        """Take the file's path and its keys; ``fault`` is as an `EmbeddedEngine` takes it."""
        self._path = path
        self._codec = codec_for(encryption)
        self._fault = fault
        self._clock = SystemClock()

    async def __aenter__(self) -> Self:
        """Lock and open the file.

        Raises:
            JournalInUseError: another process, such as a service, has it. JournalError: it cannot be used.
        """
        self._journal = Journal(self._path, *([self._fault] if self._fault else []))
        streams = EmbeddedStreams(self._journal, self._clock)
        self._histories = Histories(self._journal, streams, self._codec)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._journal.close()

    async def open_runs(self) -> AsyncIterator[OpenRun | Stays]:
        """The open runs, each with its open children; what cannot be moved of a family, one by one."""
        children: dict[int, list[RunRow]] = {}
        heads: list[RunRow] = []
        rows = await self._open_rows()
        numbers = {row.number for row in rows}
        for row in rows:
            if row.parent in numbers:
                children.setdefault(row.parent, []).append(row)
            else:
                heads.append(row)
        for head in heads:
            try:
                yield await self._family(head, children)
            except _StaysError as obstacle:
                for row in _all_of(head, children):
                    of_family = f"it belongs to the family of run {obstacle.run_id}, which stays: "
                    reason = obstacle.reason if row.id == obstacle.run_id else of_family + obstacle.reason
                    yield Stays(row.id, row.workflow, row.status, reason)

    async def close(self, run: OpenRun, reason: str) -> None:
        """Record a run and its family as ended from outside, for that reason, in one write."""
        now = self._clock.time()
        data = to_json({"reason": reason}, "why a run was ended")
        last = None
        for one in run.family:
            number = self._numbers[one.id]
            offset, at = self._journal.read(SELECT_LAST_PLACE, (number,))[0]
            self._histories.stage(number, offset + 1, max(at, now), EventType.RUN_TERMINATED, "", data)
            last = self._journal.stage(SET_ENDED, (number, Status.TERMINATED, now, reason))
        self._journal.flush()
        if last is not None:
            await self._journal.durable(last)

    async def open_schedules(self) -> Sequence[OpenSchedule]:
        """All schedules, by id.

        Raises:
            UnreadableError: the input of one cannot be read.
        """
        found: list[OpenSchedule] = []
        last = ""
        while rows := await self._journal.fetch(SELECT_SCHEDULES, (last, ROWS_PAGE)):
            last = rows[-1][0]
            for row in (ScheduleRow(*values) for values in rows):
                data = self._codec.open(row.input, *place_of(row.name))
                found.append(OpenSchedule(row.info(), data))
        return found

    async def close_schedule(self, schedule_id: str) -> None:
        """Forget a schedule."""
        group = self._journal.stage(DELETE_SCHEDULE, (schedule_id,))
        self._journal.flush()
        await self._journal.durable(group)

    async def _open_rows(self) -> list[RunRow]:
        rows: list[RunRow] = []
        last = 0
        while page := await self._journal.fetch(SELECT_OPEN, (last, ROWS_PAGE)):
            rows += [RunRow(*values) for values in page]
            last = rows[-1].number
        self._numbers = {row.id: row.number for row in rows}
        return rows

    async def _family(self, row: RunRow, children: dict[int, list[RunRow]]) -> OpenRun:
        try:
            return await self._readable_family(row, children)
        except UnreadableError as error:
            raise _StaysError(row.id, error.message) from error

    async def _readable_family(self, row: RunRow, children: dict[int, list[RunRow]]) -> OpenRun:
        entries = await self._histories.fetch(row.number)
        if row.parent is not None and row.parent not in self._numbers.values():
            raise _StaysError(row.id, "the run that began it has ended, so it is about to be cancelled")
        if any(entry.type == EventType.CANCEL_REQUESTED for entry in entries):
            raise _StaysError(
                row.id, "it was asked to stop, so it ends where it is; start the service once more for that"
            )
        below = [await self._family(child, children) for child in children.get(row.number, ())]
        return self._leaving(row, entries, tuple(below))

    def _leaving(self, row: RunRow, entries: Sequence[Entry], children: tuple[OpenRun, ...]) -> OpenRun:
        data = entries[0].data
        origin = next((entry.data for entry in reversed(entries) if entry.type == EventType.RUN_FORKED), b"")
        origins = [
            one for one in (b"", origin) if self._codec.fits(row.digest, identity_of(row.workflow, data, one))
        ]
        info = row.info()
        return OpenRun(
            id=row.id,
            workflow=row.workflow,
            status=row.status,
            owner=row.owner,
            tags=info.tags,
            priority=row.priority,
            data=data,
            prefix=prefix_of_open(row.seed, entries),
            digest="" if origins or self._codec.hides else row.digest.hex(),
            origin=origins[0] if origins else b"",
            life=entries[0].offset,
            is_paused=_is_paused(entries),
            children=children,
        )


class _StaysError(Exception):
    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(reason)
        self.run_id = run_id
        self.reason = reason


def _all_of(row: RunRow, children: dict[int, list[RunRow]]) -> list[RunRow]:
    below = [one for child in children.get(row.number, ()) for one in _all_of(child, children)]
    return [row, *below]


def _is_paused(entries: Sequence[Entry]) -> bool:
    turns = [entry.type for entry in entries if entry.type in {EventType.RUN_PAUSED, EventType.RUN_RESUMED}]
    return bool(turns) and turns[-1] == EventType.RUN_PAUSED

"""The schedules of one engine: each has an alarm for its next time, and starts a run when it rings.

A run and the note that its schedule has come so far are of one group of the journal, so a crash leaves both
or neither. The run's id says for which time it is, so whatever else happens there is one run for a time.
"""

from __future__ import annotations

import json
import logging
import math
from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.clock import rfc3339, utc
from orchestrator.core.errors import ConflictError, NotFoundError, TerminalError
from orchestrator.durable.embedded.history import tags_text
from orchestrator.durable.embedded.schedule_rows import (
    DELETE_SCHEDULE,
    PUT_SCHEDULE,
    SELECT_SCHEDULES,
    ScheduleRow,
    place_of,
)
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.runs import identity_of
from orchestrator.durable.schedules import SCHEDULE_TAG, ScheduleStatus, stated_run_id
from orchestrator.durable.timetable import Timetable
from orchestrator.journal import UnderWay
from orchestrator.journal.errors import JournalError, JournalFullError, UnreadableError

if TYPE_CHECKING:
    from orchestrator.core.errors import OrchestratorError
    from orchestrator.durable.embedded.open_runs import OpenRuns
    from orchestrator.durable.embedded.services import Services
    from orchestrator.durable.embedded.timers import Alarm
    from orchestrator.durable.schedules import ScheduleInfo
    from orchestrator.durable.workflows import Workflow
    from orchestrator.journal import Group

logger = logging.getLogger(__name__)

SCHEDULES_PAGE: Final = 1_000
# While the disk is full, nothing is started; how often to look again.
FULL_RETRY_S: Final = 1.0


class Schedules:
    """Keeps the schedules of an open engine. What it knows of them is on the disk, or staged to be."""

    def __init__(self, services: Services, runs: OpenRuns) -> None:
        self._services = services
        self._runs = runs
        self._rows: dict[str, ScheduleRow] = {}
        self._alarms: dict[str, Alarm] = {}
        self._due: deque[str] = deque()
        self._staged: dict[str, Group] = {}
        self._deleting: UnderWay[str] = UnderWay(services.journal)

    async def load(self) -> None:
        """Take the schedules of the file. Those that can start runs do so from now on; others say why not."""
        last = ""
        while rows := await self._services.journal.fetch(SELECT_SCHEDULES, (last, SCHEDULES_PAGE)):
            for row in (ScheduleRow(*values) for values in rows):
                last = row.name
                self._rows[row.name] = row
                found = self._found(row)
                if found == row:
                    self._arm(row)
                else:
                    self._put(found)

    def stop(self) -> None:
        """Start nothing more."""
        self._rows.clear()
        self._due.clear()

    def infos(self) -> list[ScheduleInfo]:
        """All schedules, by id."""
        return [self._rows[name].info() for name in sorted(self._rows)]

    def row(self, name: str) -> ScheduleRow:
        """One schedule.

        Raises:
            NotFoundError: there is none of that id.
        """
        if name not in self._rows:
            raise NotFoundError(f"there is no schedule {name!r}")
        return self._rows[name]

    def recorded(self, name: str, workflow: Workflow[Any, Any], input: Any) -> tuple[bytes, bytes]:
        """The digest of a schedule's workflow and input, and its input as it is stored.

        Raises:
            PayloadError, PayloadTooLargeError: the input has no JSON form, or a too large one.
            InvalidInputError: a limit of the workflow finds no key in it.
        """
        codec, most_bytes = self._services.codec, self._services.rules.most_bytes
        data = workflow.input.record(input, most_bytes)
        workflow.slots(data)
        return codec.digest(identity_of(workflow.type_name, data)), codec.seal(data, *place_of(name))

    async def put(self, row: ScheduleRow) -> None:
        """Make a schedule of these settings, or give them to the one of that id; nothing if it has them.

        Raises:
            InvalidTimetableError: its times are none.
        """
        self._services.journal.check_writable()
        await self._deleting.over(row.name)
        old = self._rows.get(row.name)
        if old is None:
            self._put(replace(row, next_at=self._next_of(row)))
        elif old.settings != row.settings:
            self._put(self._changed(old, row))
        await self._durable(row.name)

    async def pause(self, name: str) -> None:
        """Start nothing until ``resume``.

        Raises:
            NotFoundError: there is no schedule of that id.
        """
        self._services.journal.check_writable()
        row = self.row(name)
        if row.status != ScheduleStatus.PAUSED:
            self._put(replace(row, status=ScheduleStatus.PAUSED, reason="", next_at=None))
        await self._durable(name)

    async def resume(self, name: str) -> None:
        """Start runs again, from the next time on.

        Raises:
            NotFoundError: there is no schedule of that id.
            NotRegisteredError: the engine was not given its workflow.
        """
        self._services.journal.check_writable()
        row = self.row(name)
        if row.status != ScheduleStatus.ACTIVE:
            self._services.registry.workflow(row.workflow)
            self._put(replace(row, status=ScheduleStatus.ACTIVE, reason="", next_at=self._next_of(row)))
        await self._durable(name)

    async def run_now(self, name: str) -> str:
        """Start a run beside the timetable, and give its id.

        Raises:
            NotFoundError: there is no schedule of that id. ConflictError: its last run is still open.
            TerminalError: the engine was not given its workflow, or it no longer takes the input.
        """
        self._services.journal.check_writable()
        row = self.row(name)
        if self._runs.is_open(row.last_run):
            raise ConflictError(
                f"the last run of schedule {name!r} is open: wait for {row.last_run} to end, or cancel it",
                code="schedule_busy",
            )
        now = self._services.clock.time()
        run_id = f"{stated_run_id(name, now)}-now"
        self._put(self._started(row, run_id, now))
        await self._durable(name)
        return run_id

    async def delete(self, name: str) -> None:
        """Forget a schedule. Its runs stay.

        Raises:
            NotFoundError: there is no schedule of that id.
        """
        journal = self._services.journal
        journal.check_writable()
        row = self.row(name)
        self._call_off(row)
        del self._rows[name]
        self._staged.pop(name, None)
        group = journal.stage(DELETE_SCHEDULE, (name,))
        self._deleting.add(name, group)
        journal.flush()
        await journal.durable(group)

    # Settings.

    def _found(self, row: ScheduleRow) -> ScheduleRow:
        """A schedule of the file, as this engine can serve it."""
        if row.status == ScheduleStatus.PAUSED:
            return row
        try:
            self._services.registry.workflow(row.workflow)
        except NotRegisteredError as error:
            return self._stuck(row, error)
        return replace(row, status=ScheduleStatus.ACTIVE, reason="")

    def _changed(self, old: ScheduleRow, new: ScheduleRow) -> ScheduleRow:
        """A schedule of new settings that has come as far as the old one. A time that is due stays due."""
        status = ScheduleStatus.PAUSED if old.status == ScheduleStatus.PAUSED else ScheduleStatus.ACTIVE
        next_at = old.next_at if (old.cron, old.zone) == (new.cron, new.zone) else self._next_of(new)
        return replace(
            new,
            created_at=old.created_at,
            status=status,
            next_at=None if status == ScheduleStatus.PAUSED else next_at,
            last_run=old.last_run,
            last_at=old.last_at,
            skipped=old.skipped,
            missed_at=old.missed_at,
        )

    def _next_of(self, row: ScheduleRow) -> float:
        return Timetable(row.cron, row.zone).first_after(self._services.clock.time())

    def _put(self, row: ScheduleRow) -> None:
        """Note how far a schedule has come, with what else this turn of the loop stages."""
        self._rows[row.name] = row
        self._staged[row.name] = self._services.journal.stage(PUT_SCHEDULE, row.values)
        self._services.journal.flush()
        self._arm(row)

    async def _durable(self, name: str) -> None:
        if name in self._staged:
            await self._services.journal.durable(self._staged[name])

    # Times.

    def _arm(self, row: ScheduleRow) -> None:
        self._call_off(row)
        if row.status == ScheduleStatus.ACTIVE and row.next_at is not None:
            self._alarms[row.name] = self._services.alarms.set(row.next_at, partial(self._ring, row.name))

    def _call_off(self, row: ScheduleRow) -> None:
        alarm = self._alarms.pop(row.name, None)
        if alarm is not None:
            self._services.alarms.call_off(alarm)

    def _ring(self, name: str) -> None:
        self._due.append(name)
        if len(self._due) == 1:
            self._services.loop.call_soon(self._serve_next)

    def _serve_next(self) -> None:
        """Serve one that is due, and the next after what else the loop has to do."""
        if not self._due:
            return
        name = self._due.popleft()
        if self._due:
            self._services.loop.call_soon(self._serve_next)
        row, now = self._rows.get(name), self._services.clock.time()
        if row is None or row.status != ScheduleStatus.ACTIVE or row.next_at is None:
            return
        if row.next_at > now:  # its settings were changed, or the clock was set back, just now
            self._arm(row)
        elif self._can_write(name, now):
            self._put(self._served(row, row.next_at, now))

    def _can_write(self, name: str, now: float) -> bool:
        try:
            self._services.journal.check_writable()
        except JournalFullError:
            self._alarms[name] = self._services.alarms.set(now + FULL_RETRY_S, partial(self._ring, name))
            return False
        except JournalError:  # the engine has come to its end
            return False
        return True

    def _served(self, row: ScheduleRow, due: float, now: float) -> ScheduleRow:
        """The schedule once all its times from ``due`` to ``now`` have come to a run, or to nothing."""
        begin = max(due, math.ceil(now - row.catch_up_s))
        try:
            times, next_at = Timetable(row.cron, row.zone).between(begin, now)
            served = replace(row, next_at=next_at)
            if due < begin:
                logger.warning("schedule %s missed its times from %s on", row.name, rfc3339(utc(due)))
                served = replace(served, missed_at=due)
            if times and not self._runs.is_open(row.last_run):
                served = self._started(served, stated_run_id(row.name, times[0]), times.pop(0))
        except (TerminalError, UnreadableError) as error:
            return self._stuck(row, error)
        # The first run of several that are due late cannot have ended before the next is due.
        if times:
            logger.info("schedule %s skips %d times: %s is open", row.name, len(times), served.last_run)
        return replace(served, skipped=served.skipped + len(times))

    def _started(self, row: ScheduleRow, run_id: str, at: float) -> ScheduleRow:
        """The schedule with a run of that id, which is staged with it."""
        workflow = self._services.registry.workflow(row.workflow)
        data = self._services.codec.open(row.input, *place_of(row.name))
        workflow.input.decode(data)  # refused here, or every run of it would be stuck
        if self._runs.is_open(run_id) is None:
            tags = tags_text(json.loads(row.tags) | {SCHEDULE_TAG: row.name})
            self._runs.begin(workflow, data, run_id, owner=row.owner, tags=tags, priority=row.priority)
        return replace(row, last_run=run_id, last_at=at)

    def _stuck(self, row: ScheduleRow, error: OrchestratorError) -> ScheduleRow:
        logger.error("schedule %s is stuck: %s", row.name, error.message)
        return replace(row, status=ScheduleStatus.STUCK, reason=error.message)

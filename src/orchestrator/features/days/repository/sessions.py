"""The plans of days, and how the days went."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import and_, bindparam, func, select, true
from sqlalchemy.orm import aliased, undefer

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.ids import new_id
from orchestrator.features.days import events
from orchestrator.features.days.day import Kept
from orchestrator.features.days.next_run import next_run
from orchestrator.features.days.position import Position
from orchestrator.features.days.repository.last_done import IS_LAST_DONE, LastDone
from orchestrator.features.days.streak import Streak
from orchestrator.features.days.tables import DaySessionRow, IntentRow

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.db import Database
    from orchestrator.features.days.day import DayRequest, Made, Plan
    from orchestrator.features.days.schemas import DayDone
    from orchestrator.web.events import Outbox

NO_ACTIVE_INTENT: Final = "NO_ACTIVE_INTENT"
SESSION_NOT_FOUND: Final = "SESSION_NOT_FOUND"
_ID: Final = re.compile(r"[0-9a-f-]{36}", re.ASCII)

_OF_DAY: Final = (
    select(IntentRow, DaySessionRow)
    .outerjoin(
        DaySessionRow,
        and_(
            DaySessionRow.intent_id == IntentRow.id,
            DaySessionRow.week == bindparam("week"),
            DaySessionRow.day == bindparam("day"),
        ),
    )
    .where(IntentRow.id == bindparam("intent"))
    .options(undefer(DaySessionRow.plan_md), undefer(DaySessionRow.plan))
    # Until we have committed, an erasure waits, and then finds what was stored here.
    .with_for_update(of=IntentRow, read=True, key_share=True)
)
_OfIntent = aliased(DaySessionRow)
_LATEST_ID: Final = (
    select(func.max(_OfIntent.id)).where(_OfIntent.intent_id == DaySessionRow.intent_id).scalar_subquery()
)
# The session, whether it is the latest of its intent, what its owner learns now, and the last day that was
# done. Others that complete the session wait until we have.
_TO_COMPLETE: Final = (
    select(
        DaySessionRow,
        DaySessionRow.id == _LATEST_ID,
        IntentRow,
        LastDone.streak_days,
        LastDone.completed_at,
        LastDone.completed_tz,
    )
    .select_from(DaySessionRow)
    .outerjoin(IntentRow, and_(IntentRow.active, true()))  # a bare column would be taken for a relationship
    .outerjoin(LastDone, IS_LAST_DONE)
    .where(DaySessionRow.id == bindparam("id"))
    .with_for_update(of=DaySessionRow)
)


class SessionRepository:
    """The sessions' rows: one for each day of an intent."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def store(self, made: Made, now: datetime, *, has_time: bool = False) -> DaySessionRow:
        """Keep what a run made, the plan too unless the one that is there holds; the session with its plan.

        The run's events are told with it. Storing the same run again changes nothing.

        Raises:
            ConflictError: the intent is gone, with everything of its owner.
        """
        day = made.day
        async with self._database.session(day.owner, has_time=has_time) as session:
            await session.alone(f"the days of {day.intent_id}")
            found = await session.rows(_OF_DAY, intent=day.intent_id, week=day.week, day=day.day)
            if not found:
                raise ConflictError("The learning intent is gone meanwhile.", code=NO_ACTIVE_INTENT)
            [(intent, kept)] = found
            row = cast("DaySessionRow | None", kept)  # of an outer join
            if row is not None and row.run_id == made.run_id:
                return row
            is_first = row is None
            if row is None:
                row = DaySessionRow(
                    id=new_id(),
                    owner=day.owner,
                    intent_id=day.intent_id,
                    week=day.week,
                    day=day.day,
                    created_at=now,
                )
            plan = made.written.plan
            is_new_plan = plan is not None and (is_first or not _holds(row, made))
            if plan is None and is_first:
                raise NotFoundError("The plan that still held is gone meanwhile.", code=SESSION_NOT_FOUND)
            if plan is not None and is_new_plan:
                _write(row, made, plan)
            _tell_quality(row, made)
            if is_first:
                session.add(row)
            _go_on(intent, day, now, is_first=is_first)
            for event in events.of_run(made, row, now, is_new_plan=is_new_plan):
                self._outbox.add(session, event)
            return row

    async def complete(self, owner: str, done: DayDone, now: datetime) -> DaySessionRow:
        """Write down how a day went, once: a session that was completed before stays as it is.

        Raises:
            NotFoundError: the owner has no such session.
        """
        if not _ID.fullmatch(done.session_id):  # text that no database would take for an id
            raise _no_session()
        async with self._database.session(owner) as session:
            found = await session.rows(_TO_COMPLETE, id=done.session_id)
            if not found:
                raise _no_session()
            [(row, is_latest, active, days, at, in_zone)] = found
            if row.completed_at is not None:
                return row
            intent = cast("IntentRow | None", active)  # of an outer join
            zone = "UTC" if intent is None else intent.user_tz
            streak = Streak.first(now, zone)
            if days is not None and at is not None and in_zone is not None:
                streak = Streak(days, at, in_zone).then(now, zone)
            row.streak_days = streak.days
            row.completed_at = now
            row.completed_tz = zone
            row.completion_time_min = done.completion_time_min
            row.confidence = done.confidence
            row.notes = done.notes
            if intent is not None:
                intent.active_at = now
                if row.intent_id == intent.id and is_latest:
                    _make_ready(intent, row, now)
            self._outbox.add(session, events.plan_completed(row, now))
            return row


def _go_on(intent: IntentRow, day: DayRequest, now: datetime, *, is_first: bool) -> None:
    """There is a day to be done now, so that nothing is prepared before it is."""
    if not day.by_schedule:
        intent.active_at = max(intent.active_at, now)
    # A day that its learner has done while it was prepared is not waited for any more.
    is_waited_for = (intent.next_week, intent.next_day) == (day.week, day.day)
    if is_waited_for if day.by_schedule else is_first:
        intent.ready_at = intent.next_run_at = None


def _holds(row: DaySessionRow, made: Made) -> bool:
    """Whether its plan is still the one."""
    kept = Kept(digest=row.signals_digest, by=row.written_by, is_done=row.completed_at is not None)
    return not made.day.force_refresh and kept.holds(made.digest)


def _write(row: DaySessionRow, made: Made, plan: Plan) -> None:
    """Take over the new plan."""
    row.topic = made.day.topic
    row.planned_min = made.day.time_per_day_min
    row.plan_title = plan.title
    row.plan_md = plan.markdown
    row.plan = plan.model_dump(mode="json", exclude={"markdown"})
    row.written_by = made.written.by
    row.signals_digest = made.digest


def _tell_quality(row: DaySessionRow, made: Made) -> None:
    """Say how this run went."""
    row.signal_quality = {
        seen.agent: {"available": seen.available, "fresh": seen.fresh} for seen in made.seen
    }
    row.degraded_mode = bool(made.degraded_agents)
    row.degraded_agents = [{"agent": agent, "code": code} for agent, code in made.degraded_agents.items()]
    row.cache_hits = sum(seen.hit for seen in made.seen)
    row.cache_misses = sum(seen.miss for seen in made.seen)
    row.run_id = made.run_id


def _make_ready(intent: IntentRow, done: DaySessionRow, now: datetime) -> None:
    """The day after the one that is done is prepared the next morning."""
    following = Position(done.week, done.day).next
    if following is None:
        intent.ready_at = intent.next_run_at = None
        return
    intent.next_week, intent.next_day = following
    intent.ready_at = now
    intent.next_run_at = next_run(now, intent.user_tz)


def _no_session() -> NotFoundError:
    return NotFoundError("Session not found", code=SESSION_NOT_FOUND)

"""The plans of days, and how the days went."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import undefer

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.core.ids import new_id
from orchestrator.features.days import events
from orchestrator.features.days.day import Kept
from orchestrator.features.days.next_run import next_run
from orchestrator.features.days.position import Position
from orchestrator.features.days.streak import Streak
from orchestrator.features.days.tables import DaySessionRow, IntentRow

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.db import Database, Session
    from orchestrator.features.days.day import DayRequest, Made, Plan
    from orchestrator.features.days.schemas import DayDone
    from orchestrator.web.events import Outbox

NO_ACTIVE_INTENT: Final = "NO_ACTIVE_INTENT"
SESSION_NOT_FOUND: Final = "SESSION_NOT_FOUND"
_ID: Final = re.compile(r"[0-9a-f-]{36}", re.ASCII)

_BY_ID: Final = select(DaySessionRow).where(DaySessionRow.id == bindparam("id"))
_WITH_PLAN: Final = _BY_ID.options(undefer(DaySessionRow.plan_md), undefer(DaySessionRow.plan))
_TO_COMPLETE: Final = _BY_ID.with_for_update()
_OF_DAY: Final = select(DaySessionRow).where(
    DaySessionRow.intent_id == bindparam("intent"),
    DaySessionRow.week == bindparam("week"),
    DaySessionRow.day == bindparam("day"),
)
_LATEST_ID: Final = select(func.max(DaySessionRow.id)).where(DaySessionRow.intent_id == bindparam("intent"))
_LAST_DONE: Final = (
    select(DaySessionRow.streak_days, DaySessionRow.completed_at, DaySessionRow.completed_tz)
    .where(DaySessionRow.completed_at.is_not(None))
    .order_by(DaySessionRow.completed_at.desc())
    .limit(1)
)
_ACTIVE: Final = select(IntentRow).where(IntentRow.active)
# Until we have committed, an erasure waits, and then finds what was stored here.
_INTENT: Final = (
    select(IntentRow).where(IntentRow.id == bindparam("intent")).with_for_update(read=True, key_share=True)
)


class SessionRepository:
    """The sessions' rows: one for each day of an intent."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def store(self, made: Made, now: datetime) -> str:
        """Keep what a run made, the plan too unless the one that is there holds; the session's id.

        The run's events are told with it. Storing the same run again changes nothing.

        Raises:
            ConflictError: the intent is gone, with everything of its owner.
        """
        day = made.day
        async with self._database.session(day.owner) as session:
            await session.alone(f"the days of {day.intent_id}")
            row = await session.one(_OF_DAY, intent=day.intent_id, week=day.week, day=day.day)
            if row is not None and row.run_id == made.run_id:
                return row.id
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
            await self._go_on(session, day, now, is_first=is_first)
            for event in events.of_run(made, row, now, is_new_plan=is_new_plan):
                self._outbox.add(session, event)
            return row.id

    async def find(self, owner: str, session_id: str) -> DaySessionRow:
        """The owner's session with its plan.

        Raises:
            NotFoundError: there is none.
        """
        async with self._database.session(owner) as session:
            row = await session.one(_WITH_PLAN, id=session_id)
        if row is None:
            raise _no_session()
        return row

    async def complete(self, owner: str, done: DayDone, now: datetime) -> DaySessionRow:
        """Write down how a day went, once: a session that was completed before stays as it is.

        Raises:
            NotFoundError: the owner has no such session.
        """
        if not _ID.fullmatch(done.session_id):  # text that no database would take for an id
            raise _no_session()
        async with self._database.session(owner) as session:
            row, latest_id = await _to_complete(session, done.session_id)
            if row.completed_at is not None:
                return row
            intent = await session.one(_ACTIVE)
            zone = intent.user_tz if intent else "UTC"
            row.streak_days = (await _streak(session, now, zone)).days
            row.completed_at = now
            row.completed_tz = zone
            row.completion_time_min = done.completion_time_min
            row.confidence = done.confidence
            row.notes = done.notes
            if intent is not None:
                intent.active_at = now
                if row.intent_id == intent.id and row.id == latest_id:
                    _make_ready(intent, row, now)
            self._outbox.add(session, events.plan_completed(row, now))
            return row

    async def _go_on(self, session: Session, day: DayRequest, now: datetime, *, is_first: bool) -> None:
        """There is a day to be done now, so that nothing is prepared before it is.

        Raises:
            ConflictError: the intent is gone, with everything of its owner.
        """
        intent = await session.one(_INTENT, intent=day.intent_id)
        if intent is None:
            raise ConflictError("The learning intent is gone meanwhile.", code=NO_ACTIVE_INTENT)
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


async def _to_complete(session: Session, session_id: str) -> tuple[DaySessionRow, str | None]:
    """The session, and the id of the latest one of its intent. Others that complete it wait until we have."""
    row = await session.one(_TO_COMPLETE, id=session_id)
    if row is None:
        raise _no_session()
    return row, await session.one(_LATEST_ID, intent=row.intent_id)


async def _streak(session: Session, now: datetime, zone: str) -> Streak:
    """The owner's streak, now that another day is done."""
    for days, at, in_zone in await session.rows(_LAST_DONE):
        if days is not None and at is not None and in_zone is not None:
            return Streak(days, at, in_zone).then(now, zone)
    return Streak.first(now, zone)


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

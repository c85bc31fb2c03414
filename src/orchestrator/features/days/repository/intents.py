"""What people want to learn, and whose next day is due."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, exists, select, update

from orchestrator.core.ids import new_id
from orchestrator.db import SYSTEM
from orchestrator.features.days import events
from orchestrator.features.days.day import Kept
from orchestrator.features.days.next_run import IDLE_AFTER, next_run
from orchestrator.features.days.position import BEGINNING
from orchestrator.features.days.tables import DaySessionRow, IntentRow

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.db import Database, Session
    from orchestrator.features.days.schemas import IntentSync
    from orchestrator.web.events import Outbox

# A day of it may be under way.
REPLACED_KEPT_FOR: Final = timedelta(hours=1)
ACTIVE: Final = select(IntentRow).where(IntentRow.active)
_OF_ASKED_DAY: Final = and_(
    DaySessionRow.intent_id == IntentRow.id,
    DaySessionRow.week == bindparam("week"),
    DaySessionRow.day == bindparam("day"),
)
_ASKED: Final = (
    select(IntentRow, DaySessionRow.signals_digest, DaySessionRow.written_by, DaySessionRow.completed_at)
    .outerjoin(DaySessionRow, _OF_ASKED_DAY)
    .where(IntentRow.active)
)


class IntentRepository:
    """The intents' rows: one of a person's is active."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def active(self, owner: str) -> IntentRow | None:
        """What the owner learns now."""
        async with self._database.session(owner) as session:
            return await session.one(ACTIVE)

    async def asked(self, owner: str, week: int, day: int) -> tuple[IntentRow, Kept | None] | None:
        """What the owner learns now, and the plan that this day of it has."""
        async with self._database.session(owner) as session:
            for intent, made_of, by, done_at in await session.rows(_ASKED, week=week, day=day):
                kept = Kept(digest=made_of, by=by, is_done=done_at is not None) if made_of else None
                return intent, kept
        return None

    async def sync(self, owner: str, wanted: IntentSync, now: datetime) -> IntentRow:
        """Change the active intent if it has the same topic, else put another one in its place."""
        async with self._database.session(owner) as session:
            await session.alone(f"the active intent of {owner}")
            active = await session.one(ACTIVE)
            if active is not None and _same(active.topic, wanted.topic):
                _change(active, wanted, now)
                return active
            if active is not None:
                active.active = False
                active.active_at = max(active.active_at, now)
                active.ready_at = active.next_run_at = None
                await session.flush()  # before the new one, as only one may be active
            return self._added(session, owner, wanted, now)

    async def make_way(self, giver: str, taker: str) -> None:
        """Have the giver's active intent wait, if the taker has one: only one of a person's is active."""
        if await self.active(taker) is not None:
            waits = update(IntentRow).where(IntentRow.active)
            async with self._database.session(giver) as session:
                await session.change(waits.values(active=False, ready_at=None, next_run_at=None))

    async def due(self, now: datetime, at_most: int) -> list[IntentRow]:
        """Everybody's intents whose next plan is to be prepared now, those that wait longest first.

        Those of people who did nothing for long are taken off until they come back.
        """
        is_due = and_(IntentRow.active, IntentRow.next_run_at <= now)
        idle = update(IntentRow).where(is_due, IntentRow.active_at < now - IDLE_AFTER)
        due = select(IntentRow).where(is_due).order_by(IntentRow.next_run_at).limit(at_most)
        async with self._database.session(SYSTEM) as session:
            await session.change(idle.values(next_run_at=None))
            return await session.all(due)

    async def put_off(self, due: IntentRow, now: datetime) -> None:
        """Try again the next morning, should the plan not be prepared; what changed meanwhile stays."""
        as_it_was = (IntentRow.id == due.id, IntentRow.next_run_at == due.next_run_at)
        later = update(IntentRow).where(*as_it_was).values(next_run_at=next_run(now, due.user_tz))
        async with self._database.session(due.owner) as session:
            await session.change(later)

    async def forget_replaced(self, now: datetime) -> int:
        """Forget everybody's replaced intents that came to no day; how many there were."""
        came_to_a_day = exists().where(DaySessionRow.intent_id == IntentRow.id)
        replaced = (~IntentRow.active, IntentRow.active_at < now - REPLACED_KEPT_FOR, ~came_to_a_day)
        async with self._database.session(SYSTEM) as session:
            return await session.change(
                delete(IntentRow).where(*replaced).execution_options(synchronize_session=False)
            )

    def _added(self, session: Session, owner: str, wanted: IntentSync, now: datetime) -> IntentRow:
        row = IntentRow(
            id=new_id(),
            **wanted.model_dump(),
            active=True,
            created_at=now,
            active_at=now,
            next_week=BEGINNING.week,
            next_day=BEGINNING.day,
            ready_at=now,
            next_run_at=next_run(now, wanted.user_tz),
        )
        session.add(row)
        self._outbox.add(session, events.intent_created(owner, row))
        return row


def _same(topic: str, other: str) -> bool:
    """Whether two spellings are one topic: letters' case and spaces make no difference."""
    return topic.casefold().split() == other.casefold().split()


def _change(row: IntentRow, wanted: IntentSync, now: datetime) -> None:
    """Take over what was said, leave what was not, and move the next run with the time zone."""
    zone = row.user_tz
    for name in wanted.model_fields_set:
        setattr(row, name, getattr(wanted, name))
    if row.ready_at is not None:
        if row.next_run_at is None:  # whoever comes back after long begins to be prepared for again
            row.ready_at = now
            row.next_run_at = next_run(now, row.user_tz)
        elif row.user_tz != zone:
            row.next_run_at = next_run(row.ready_at, row.user_tz)
    row.active_at = max(row.active_at, now)

"""Where somebody stands, in two queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, func, select, true
from sqlalchemy.orm import aliased

from orchestrator.features.days.repository.last_done import IS_LAST_DONE, LastDone
from orchestrator.features.days.streak import Streak
from orchestrator.features.days.tables import DaySessionRow, IntentRow, SignalRow

if TYPE_CHECKING:
    from orchestrator.db import Database


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers over all sessions of a person."""

    sessions: int
    completed: int
    time_min: int
    average_confidence: float


@dataclass(frozen=True, slots=True)
class Overview:
    """All that status tells of. ``confirmed_at``: when each agent was last heard, in seconds since 1970."""

    intent: IntentRow | None
    latest: DaySessionRow | None
    streak: Streak | None
    totals: Totals
    confirmed_at: dict[str, float]


_Latest = aliased(DaySessionRow)

_TOTALS: Final = select(
    func.count(DaySessionRow.id).label("sessions"),
    func.count(DaySessionRow.completed_at).label("completed"),
    func.coalesce(func.sum(DaySessionRow.completion_time_min), 0).label("time_min"),
    func.coalesce(func.avg(DaySessionRow.confidence), 0).label("confidence"),
    func.max(DaySessionRow.id).label("latest_id"),
).subquery()
_OVERVIEW: Final = (
    select(
        IntentRow,
        _Latest,
        LastDone.streak_days,
        LastDone.completed_at,
        LastDone.completed_tz,
        _TOTALS.c.sessions,
        _TOTALS.c.completed,
        _TOTALS.c.time_min,
        _TOTALS.c.confidence,
    )
    .select_from(_TOTALS)
    .outerjoin(IntentRow, and_(IntentRow.active, true()))  # a bare column would be taken for a relationship
    .outerjoin(_Latest, _Latest.id == _TOTALS.c.latest_id)
    .outerjoin(LastDone, IS_LAST_DONE)
)
_CONFIRMED: Final = (
    select(SignalRow.agent, func.max(SignalRow.confirmed_at))
    .where(SignalRow.confirmed_at >= bindparam("since"))
    .group_by(SignalRow.agent)
)


class OverviewRepository:
    """Reads of status."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, owner: str) -> Overview:
        """Where the owner stands. Signals count from the active intent's beginning on."""
        async with self._database.session(owner) as session:
            [(intent, latest, days, at, zone, *numbers)] = await session.rows(_OVERVIEW)
            heard = []
            if intent is not None:
                heard = await session.rows(_CONFIRMED, since=intent.created_at.timestamp())
        sessions, completed, time_min, confidence = numbers
        return Overview(
            intent,
            latest,
            None if at is None else Streak(days, at, zone),
            Totals(sessions, completed, int(time_min), float(confidence)),
            dict(heard),
        )

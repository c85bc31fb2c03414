"""What our own agents may know of a learner."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sqlalchemy import or_, select

from orchestrator.features.days.agents.history import MOST_DAYS, DayDone
from orchestrator.features.days.intent import Intent
from orchestrator.features.days.tables import DaySessionRow, IntentRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.db import Database
    from orchestrator.features.days.intent import Depth


class DayHistory:
    """A `History` from the rows of intents and sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def intent(self, user: str, topic: str) -> Intent | None:
        """The user's latest intent on this topic, active or not."""
        latest = select(IntentRow).where(IntentRow.topic == topic).order_by(IntentRow.id.desc()).limit(1)
        async with self._database.session(user) as session:
            row = await session.one(latest)
        if row is None:
            return None
        return Intent(
            row.topic, cast("Depth", row.depth), row.end_goal, row.time_per_day_min, user_tz=row.user_tz
        )

    async def days_done(self, user: str, topic: str) -> Sequence[DayDone]:
        """The user's latest completed days on this topic, oldest first."""
        # An intent whose topic is spelt anew keeps the days of its earlier spelling.
        of_intents = DaySessionRow.intent_id.in_(select(IntentRow.id).where(IntentRow.topic == topic))
        latest = (
            select(DaySessionRow)
            .where(or_(DaySessionRow.topic == topic, of_intents), DaySessionRow.completed_at.is_not(None))
            .order_by(DaySessionRow.completed_at.desc())
            .limit(MOST_DAYS)
        )
        async with self._database.session(user) as session:
            rows = await session.all(latest)
        return [
            DayDone(
                row.week,
                row.day,
                row.plan_title,
                row.completion_time_min or 0,
                row.confidence or 0,
                row.notes or "",
                row.completed_at,
            )
            for row in reversed(rows)
            if row.completed_at is not None
        ]

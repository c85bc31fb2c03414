"""Until when a day's plan must be there, and what of that time its parts get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from orchestrator.features.days.day import DayRequest
from orchestrator.features.days.position import Position

if TYPE_CHECKING:
    from orchestrator.features.days.day import Kept
    from orchestrator.features.days.intent import Depth
    from orchestrator.features.days.schemas import DayRun
    from orchestrator.features.days.tables import IntentRow

# The instructor, who comes after the agents, has what is left until his own share ends; then there is just
# time to store the plan and to answer.
SIGNALS_SHARE: Final = 0.6
PLAN_SHARE: Final = 0.9
ANSWER_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How many seconds a whole run may take, from the request to the answer."""

    limit_s: float

    def asked(self, intent: IntentRow, asked: DayRun, kept: Kept | None, now: float) -> DayRequest:
        """What somebody asks for now (seconds since 1970), for a day that has the plan ``kept``."""
        return self._request(intent, Position(asked.week, asked.day), kept, now, force=asked.force_refresh)

    def scheduled(self, intent: IntentRow, kept: Kept | None, now: float) -> DayRequest:
        """The next day of an intent, as a schedule asks for it now."""
        place = Position(intent.next_week, intent.next_day)
        return self._request(intent, place, kept, now, by_schedule=True)

    def answer_by(self, now: float) -> float:
        """When somebody who asks now has an answer at the latest (seconds since 1970)."""
        return now + ANSWER_SHARE * self.limit_s

    def _request(
        self,
        intent: IntentRow,
        place: Position,
        kept: Kept | None,
        now: float,
        *,
        force: bool = False,
        by_schedule: bool = False,
    ) -> DayRequest:
        return DayRequest(
            owner=intent.owner,
            intent_id=intent.id,
            topic=intent.topic,
            depth=cast("Depth", intent.depth),
            end_goal=intent.end_goal,
            time_per_day_min=intent.time_per_day_min,
            user_tz=intent.user_tz,
            track_label=intent.track_label,
            meta=intent.meta,
            week=place.week,
            day=place.day,
            force_refresh=force,
            by_schedule=by_schedule,
            signals_by=now + SIGNALS_SHARE * self.limit_s,
            plan_by=now + PLAN_SHARE * self.limit_s,
            kept=kept,
        )

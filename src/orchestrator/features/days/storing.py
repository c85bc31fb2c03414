"""Keeping what came of a run, and what day.run says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.clock import utc
from orchestrator.features.days import views
from orchestrator.features.days.day import Stored

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.features.days.day import Made
    from orchestrator.features.days.repository import SessionRepository


class Storing:
    """Stores in the room's tables; the answer goes with it, so that nobody has to read the session again."""

    def __init__(self, sessions: SessionRepository, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    async def store(self, made: Made, *, has_time: bool = False) -> Stored:
        """Keep it, and tell of it. Raises as `SessionRepository.store` does."""
        row = await self._sessions.store(made, utc(self._clock.time()), has_time=has_time)
        return Stored(session_id=row.id, answer=views.planned(row).model_dump(mode="json"))

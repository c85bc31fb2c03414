"""What is kept of a session that has ended: enough to show it once its runs have left the journal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, JsonValue

from orchestrator.features.lessons.events import BEGINNING, Position, SessionEvent
from orchestrator.features.lessons.schemas import SessionResult, SessionStep

if TYPE_CHECKING:
    from collections.abc import Iterable


class KeptEvent(BaseModel):
    """An event as clients got it."""

    type: str
    position: str
    step_id: str | None = None
    data: dict[str, JsonValue] | None = None
    at: datetime | None = None


class Kept(BaseModel):
    """A session's steps, its result if it was completed, and its events without the deltas."""

    steps: list[SessionStep]
    result: SessionResult | None
    events: list[KeptEvent]

    @classmethod
    def of(cls, steps: list[SessionStep], result: SessionResult | None, told: Iterable[SessionEvent]) -> Self:
        """What to keep of a session whose watchers are told these events."""
        return cls(
            steps=steps,
            result=result,
            events=[
                KeptEvent(
                    type=event.type,
                    position=str(event.position),
                    step_id=event.step_id,
                    data=None if event.data is None else dict(event.data),
                    at=event.at,
                )
                for event in told
                if event.type not in {"connected", "step-delta"}
            ],
        )

    def told(self, session_id: str, after: Position) -> list[SessionEvent]:
        """The events after ``after``; all of them if it lies beyond the last one, and so was never told."""
        events = [
            SessionEvent(
                event.type, session_id, Position.parse(event.position), event.step_id, event.data, event.at
            )
            for event in self.events
        ]
        if after > events[-1].position:
            after = BEGINNING
        return [event for event in events if event.position > after]

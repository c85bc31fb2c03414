"""Learners whose history a test writes down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from orchestrator.features.days.agents.history import DayDone
from orchestrator.features.days.intent import Depth, Intent

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 1, 5, 18, tzinfo=UTC)
MACHINE_LEARNING = Intent(
    "Machine Learning", "informed", "Build production ML models", 60, "America/New_York"
)

DEPTHS: tuple[Depth, ...] = ("surface", "informed", "expert")
intents = st.builds(
    Intent,
    topic=st.text(min_size=1, max_size=500).filter(str.strip),
    depth=st.sampled_from(DEPTHS),
    end_goal=st.text(min_size=1, max_size=500),
    time_per_day_min=st.integers(20, 180),
)


def done(number: int, confidence: int, after_days: int, notes: str = "") -> DayDone:
    """The day of that number, from 0 on, completed so many days after the start."""
    return DayDone(
        week=1 + number // 5,
        day=1 + number % 5,
        title=f"Subject {number}",
        minutes=45,
        confidence=confidence,
        notes=notes,
        done_at=START + timedelta(days=after_days),
    )


@dataclass(slots=True)
class Learners:
    """Keeps `History`: what each user wants, and has done, by user and topic."""

    intents: dict[tuple[str, str], Intent] = field(default_factory=dict)
    days: dict[tuple[str, str], list[DayDone]] = field(default_factory=dict)

    @classmethod
    def with_ada(cls, *days: DayDone) -> Learners:
        """Ada, who learns machine learning and has done these days."""
        place = ("ada", MACHINE_LEARNING.topic)
        return cls({place: MACHINE_LEARNING}, {place: list(days)})

    async def intent(self, user: str, topic: str) -> Intent | None:
        """What the user wants of the topic."""
        return self.intents.get((user, topic))

    async def days_done(self, user: str, topic: str) -> Sequence[DayDone]:
        """What the user has done on it."""
        return self.days.get((user, topic), [])

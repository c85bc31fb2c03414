"""Where a learner is: which day of which week, and which comes next."""

from __future__ import annotations

from typing import Final, NamedTuple, Self

from orchestrator.features.days.intent import DAYS_PER_WEEK

LAST_WEEK: Final = 520  # ten years; whoever is asked for more has misread a number


class Position(NamedTuple):
    """A day of learning. Weeks and days count from 1; a week has five days."""

    week: int
    day: int

    @property
    def ends_week(self) -> bool:
        """Whether it is the last day of its week."""
        return self.day == DAYS_PER_WEEK

    @property
    def next(self) -> Self | None:
        """The day after it; None after the last week of all."""
        if not self.ends_week:
            return self._replace(day=self.day + 1)
        return self._replace(week=self.week + 1, day=1) if self.week < LAST_WEEK else None


BEGINNING: Final = Position(week=1, day=1)

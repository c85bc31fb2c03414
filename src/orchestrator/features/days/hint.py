"""What a learner is told who has done a day: about the time spent, and what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from orchestrator.features.days.position import Position

MOST_OF_THE_PLAN: Final = 0.8
HALF_OF_THE_PLAN: Final = 0.5
# Of 1 to 10: above it a learner is confident, and 7 itself is not yet that.
NOT_YET_CONFIDENT: Final = 7


def next_day_hint(done: Position, *, spent_min: int, planned_min: int, confidence: int) -> str:
    """A sentence about the time spent against the plan, and one about the next day.

    >>> next_day_hint(Position(1, 3), spent_min=45, planned_min=60, confidence=7)
    'Good time investment! For day 4, focus on reinforcing concepts to build confidence.'
    """
    return f"{_about_time(spent_min / planned_min)} {_about_next(done, confidence)}"


def _about_time(share: float) -> str:
    if share >= MOST_OF_THE_PLAN:
        return "Excellent time commitment!"
    if share >= HALF_OF_THE_PLAN:
        return "Good time investment!"
    return "Every bit counts; try to find a little more time."


def _about_next(done: Position, confidence: int) -> str:
    if done.next is None:
        return "That was the last day there is."
    advice = (
        "you are ready to take on more challenging material."
        if confidence > NOT_YET_CONFIDENT
        else "focus on reinforcing concepts to build confidence."
    )
    if done.ends_week:
        return f"Week {done.week} is complete! For week {done.next.week}, {advice}"
    return f"For day {done.next.day}, {advice}"

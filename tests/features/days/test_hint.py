"""What is said to somebody who has done a day."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.hint import next_day_hint
from orchestrator.features.days.position import LAST_WEEK, Position

REINFORCE = "focus on reinforcing concepts to build confidence."
GO_ON = "you are ready to take on more challenging material."


DAY_3 = Position(1, 3)


def hint(spent_min: int = 60, confidence: int = 5, done: Position = DAY_3) -> str:
    """A hint after a day that was planned at 60 minutes."""
    return next_day_hint(done, spent_min=spent_min, planned_min=60, confidence=confidence)


def test_the_documents_example() -> None:
    """45 of 60 minutes at confidence 7, which is not yet high."""
    said = "Good time investment! For day 4, focus on reinforcing concepts to build confidence."
    assert hint(45, 7) == said


@pytest.mark.parametrize(
    ("spent_min", "said"),
    [
        (480, "Excellent time commitment!"),
        (48, "Excellent time commitment!"),
        (47, "Good time investment!"),
        (30, "Good time investment!"),
        (29, "Every bit counts; try to find a little more time."),
        (1, "Every bit counts; try to find a little more time."),
    ],
)
def test_time_counts_against_the_plan(spent_min: int, said: str) -> None:
    """From 80 % on it is excellent, from 50 % on good."""
    assert hint(spent_min).startswith(f"{said} For day 4, ")


@pytest.mark.parametrize(("confidence", "said"), [(1, REINFORCE), (7, REINFORCE), (8, GO_ON), (10, GO_ON)])
def test_who_is_confident_goes_on(confidence: int, said: str) -> None:
    """Above 7."""
    assert hint(confidence=confidence).endswith(f"For day 4, {said}")


def test_a_weeks_end_is_told() -> None:
    """After day 5 the next week comes."""
    assert hint(45, 8, Position(2, 5)) == f"Good time investment! Week 2 is complete! For week 3, {GO_ON}"
    assert hint(60, 9, Position(LAST_WEEK, 5)).endswith("That was the last day there is.")


@given(st.integers(1, 480), st.integers(20, 180), st.integers(1, 10), st.integers(1, 5))
def test_more_time_is_never_called_less(spent_min: int, planned_min: int, confidence: int, day: int) -> None:
    """The praise grows with the minutes, and what comes next does not depend on them."""
    order = ["Every", "Good", "Excellent"]
    less, more = (
        next_day_hint(Position(1, day), spent_min=spent, planned_min=planned_min, confidence=confidence)
        for spent in (spent_min, spent_min + 1)
    )
    assert order.index(less.split()[0]) <= order.index(more.split()[0])
    # The sentence about the time ends with its first mark; the rest is the same.
    assert less[-40:] == more[-40:]

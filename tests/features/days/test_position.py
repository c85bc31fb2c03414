"""Days follow each other, five a week."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.intent import DAYS_PER_WEEK
from orchestrator.features.days.position import BEGINNING, LAST_WEEK, Position

WEEKS = st.integers(1, LAST_WEEK)
DAYS = st.integers(1, DAYS_PER_WEEK)


def test_after_a_weeks_fifth_day_comes_the_next_weeks_first() -> None:
    """Week 1 day 5, then week 2 day 1."""
    assert Position(1, 4).next == (1, 5)
    assert Position(1, 5).next == (2, 1)


def test_all_days_are_reached_in_order() -> None:
    """From the first day on, each next one is the only one between; the last one has none."""
    seen = [BEGINNING]
    while (following := seen[-1].next) is not None:
        seen.append(following)
    assert len(seen) == LAST_WEEK * DAYS_PER_WEEK
    assert all(before < after for before, after in pairwise(seen))


@given(WEEKS, DAYS)
def test_one_day_ends_each_week(week: int, day: int) -> None:
    """A week ends where the next day is another week's."""
    here = Position(week, day)
    assert here.ends_week is (here.next is None or here.next.week != week)

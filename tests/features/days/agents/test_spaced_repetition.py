"""Which days are due again: by FSRS, from the confidence that was given."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from fsrs import Rating
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.agents.history import DayDone
from orchestrator.features.days.agents.spaced_repetition import rating, reviews_due
from support.learners import START, done

if TYPE_CHECKING:
    import random

confidences = st.lists(st.integers(1, 10), max_size=30)


def test_confidence_rates_what_was_learned() -> None:
    """7 is good and not yet easy, as in the document's example; up to 3 counts as forgotten."""
    rated = [rating(confidence) for confidence in range(1, 11)]
    assert rated == [Rating.Again] * 3 + [Rating.Hard] * 3 + [Rating.Good] * 2 + [Rating.Easy] * 2


def test_what_one_was_unsure_of_comes_back_first() -> None:
    """The day after for a confidence of 2, two days after for 7, more than a week after for 10."""
    for confidence, days in ((2, 1), (7, 2), (10, 8)):
        learned = [done(0, confidence, 0)]
        dues = [
            bool(reviews_due(learned, (START + timedelta(days=after)).date(), "UTC", 3))
            for after in range(days + 1)
        ]
        assert dues == [False] * days + [True]


def test_a_day_that_is_done_reviews_what_was_due_on_it() -> None:
    """It is not due again on the next day, and waits longer than the first time."""
    learned = [done(0, 7, 0), done(1, 7, 2)]
    [first] = reviews_due(learned[:1], (START + timedelta(days=2)).date(), "UTC", 3)
    assert (first.title, first.due_on) == ("Subject 0", date(2026, 1, 7))
    later = reviews_due(learned, (START + timedelta(days=60)).date(), "UTC", 3)
    again = next(review for review in later if review.title == "Subject 0")
    assert again.due_on - date(2026, 1, 7) > timedelta(days=2)


def test_days_are_those_of_the_learner() -> None:
    """Half past three in the night in UTC is still the evening before in New York."""
    night = DayDone(1, 1, "Subject", 45, 2, "", datetime(2026, 1, 6, 3, 30, tzinfo=UTC))
    assert reviews_due([night], date(2026, 1, 6), "America/New_York", 3)
    assert not reviews_due([night], date(2026, 1, 6), "UTC", 3)
    assert not reviews_due([night], date(2026, 1, 6), "No/Where", 3)


@given(confidences, st.integers(0, 120), st.integers(1, 3))
def test_reviews_are_due_ordered_and_few(given_confidences: list[int], after: int, at_most: int) -> None:
    """Nothing comes before it is due, the most forgotten comes first, and no more than there is room for."""
    days = [done(number, confidence, number) for number, confidence in enumerate(given_confidences)]
    today = (START + timedelta(days=after)).date()
    reviews = reviews_due(days, today, "UTC", at_most)
    assert len(reviews) <= at_most
    assert all(review.due_on <= today for review in reviews)
    recalls = [review.recall_percent for review in reviews]
    assert recalls == sorted(recalls)
    assert all(0 <= recall <= 100 for recall in recalls)
    assert len({(review.week, review.day) for review in reviews}) == len(reviews)


@given(confidences, st.randoms())
def test_the_same_history_has_the_same_reviews(given_confidences: list[int], chance: random.Random) -> None:
    """In whatever order its days are told, and however often one asks."""
    days = [done(number, confidence, number) for number, confidence in enumerate(given_confidences)]
    mixed = chance.sample(days, len(days))
    today = (START + timedelta(days=40)).date()
    assert reviews_due(days, today, "UTC", 3) == reviews_due(mixed, today, "UTC", 3)


def test_a_clock_that_was_set_back_shows_nothing_of_the_future() -> None:
    """What was completed after today is not reviewed today."""
    assert reviews_due([done(0, 1, 9)], START.date(), "UTC", 3) == []

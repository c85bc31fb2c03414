"""Which days to look at again, by FSRS: each completed day is a card, and the confidence given rates it.

Nobody is asked card by card, so the days are replayed: doing a day also reviews what was due on it, with the
same confidence. Everything counts in whole local days and without fuzz, so the same history has the same
reviews.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from heapq import nsmallest
from typing import TYPE_CHECKING

from fsrs import Card, Rating, Scheduler

from orchestrator.features.days.agents.history import local_date

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.features.days.agents.history import DayDone

# Without steps of minutes a card has intervals of whole days from its first review on.
_SCHEDULER = Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)
LOWEST_HARD, LOWEST_GOOD, LOWEST_EASY = 4, 7, 9  # confidence, of 10


@dataclass(frozen=True, slots=True)
class Review:
    """A day to look at again: what it was about, when it fell due, and the chance that it is still known."""

    title: str
    week: int
    day: int
    due_on: date
    recall_percent: int


@dataclass(slots=True)
class _Learned:
    """A card, with what it stands for."""

    title: str
    card: Card


def rating(confidence: int) -> Rating:
    """What a confidence from 1 to 10 says about remembering: from Again to Easy."""
    if confidence >= LOWEST_EASY:
        return Rating.Easy
    if confidence >= LOWEST_GOOD:
        return Rating.Good
    return Rating.Hard if confidence >= LOWEST_HARD else Rating.Again


def reviews_due(days: Iterable[DayDone], today: date, zone: str, at_most: int) -> list[Review]:
    """What is due on ``today``, what is most forgotten first.

    Args:
        days: Completed days on one topic, in any order.
        today: The learner's date.
        zone: The learner's time zone, in which the days' moments become dates.
        at_most: Reviews that one day has room for; so many were taken along on the days before, too.
    """
    learned: dict[tuple[int, int], _Learned] = {}
    for done in sorted(days, key=lambda each: (each.done_at, each.week, each.day)):
        place, on = (done.week, done.day), local_date(done.done_at, zone)
        if on > today:
            continue
        rated = rating(done.confidence)
        for reviewed in _due(learned, on, at_most):
            if reviewed != place:
                learned[reviewed].card = _reviewed(learned[reviewed].card, rated, on)
        before = learned.get(place)
        card = before.card if before else Card(card_id=len(learned), due=_noon(on))
        learned[place] = _Learned(done.title, _reviewed(card, rated, on))
    return [
        Review(
            learned[place].title,
            *place,
            learned[place].card.due.date(),
            _recall_percent(learned[place], today),
        )
        for place in _due(learned, today, at_most)
    ]


def _due(learned: dict[tuple[int, int], _Learned], on: date, at_most: int) -> list[tuple[int, int]]:
    """The places of what is due, the least likely to be recalled first; of equals the earlier."""
    noon = _noon(on)
    due = [
        (_SCHEDULER.get_card_retrievability(each.card, noon), place)
        for place, each in learned.items()
        if each.card.due <= noon
    ]
    return [place for _, place in nsmallest(at_most, due)]


def _recall_percent(each: _Learned, on: date) -> int:
    return round(100 * _SCHEDULER.get_card_retrievability(each.card, _noon(on)))


def _reviewed(card: Card, rated: Rating, on: date) -> Card:
    return _SCHEDULER.review_card(card, rated, _noon(on))[0]


def _noon(on: date) -> datetime:
    """The library counts in UTC; noon keeps whole days whole."""
    return datetime.combine(on, time(12), UTC)

"""Minutes for steps, so that together they take what there is and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def shares(minutes: int, weights: Sequence[float]) -> list[int]:
    """Whole minutes by weight, at least one each, and together exactly ``minutes``.

    What rounding leaves over goes to those who lost most by it; of equals the earlier (largest remainder).

    Raises:
        ValueError: there are more weights than minutes, or one of them is not above 0.
    """
    if len(weights) > minutes:
        raise ValueError(f"{minutes} minutes cannot be shared by {len(weights)} steps of a minute or more")
    if any(not weight > 0 for weight in weights):
        raise ValueError("each weight must be above 0")
    if not weights:
        return []
    rest, total = minutes - len(weights), sum(weights)
    exact = [rest * weight / total for weight in weights]
    given = [1 + int(share) for share in exact]
    by_loss = sorted(range(len(weights)), key=lambda place: (int(exact[place]) - exact[place], place))
    for place in by_loss[: minutes - sum(given)]:
        given[place] += 1
    return given


def fitted(minutes: Sequence[int], limit: int) -> list[int]:
    """The minutes as they are if they fit into ``limit``, else shortened in proportion.

    Raises:
        ValueError: there are more steps than minutes, or one has none.
    """
    return list(minutes) if sum(minutes) <= limit and min(minutes, default=1) > 0 else shares(limit, minutes)


SHORT_DAY_MIN, LONG_DAY_MIN = (
    40,
    90,
)  # below the one there is room for one review, from the other on for three


@dataclass(frozen=True, slots=True)
class Frame:
    """How a day's minutes are divided before anything is known about the day."""

    minutes: int
    most_reviews: int
    review: int
    most_questions: int
    question: int
    closing: int
    breaks: int
    break_: int = 5

    def practice(self, reviews: int) -> int:
        """The minutes that are left for practice beside so many reviews."""
        used = reviews * self.review + self.most_questions * self.question
        return self.minutes - used - self.closing - self.breaks * self.break_


def frame(minutes: int) -> Frame:
    """The frame of a day of so many minutes, 20 to 180: about two thirds of it are for practice."""
    several = 1 if minutes < SHORT_DAY_MIN else 2 if minutes < LONG_DAY_MIN else 3
    return Frame(
        minutes=minutes,
        most_reviews=several,
        review=min(max(3, minutes // 12), 8),
        most_questions=several,
        question=min(max(3, minutes // 20), 5),
        closing=min(max(2, minutes // 20), 5),
        breaks=max(0, (minutes - 30) // 60),
    )

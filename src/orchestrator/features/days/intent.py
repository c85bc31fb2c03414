"""What a learner wants: the shape that all of the room shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Depth = Literal["surface", "informed", "expert"]

DAYS_PER_WEEK = 5
SHORTEST_DAY_MIN = 20
LONGEST_DAY_MIN = 180


@dataclass(frozen=True, slots=True)
class Intent:
    """A topic, how deep, to what end, and the minutes there are for it on each day.

    ``user_tz`` is the name of an IANA time zone.
    """

    topic: str
    depth: Depth
    end_goal: str
    time_per_day_min: int
    user_tz: str = "UTC"

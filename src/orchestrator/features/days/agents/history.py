"""What our agents may know of a learner: a port that the room's repository fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from orchestrator.features.days.intent import Intent

MOST_DAYS = 200  # two thirds of a year of five-day weeks; what is older is known or forgotten


@dataclass(frozen=True, slots=True)
class DayDone:
    """A day that was completed: where it stood, what it was about, and how it went.

    ``minutes`` is the time it took, ``confidence`` goes from 1 to 10, ``done_at`` is aware.
    """

    week: int
    day: int
    title: str
    minutes: int
    confidence: int
    notes: str
    done_at: datetime


class History(Protocol):
    """Reads of one learner's own rows, and of nobody else's."""

    async def intent(self, user: str, topic: str) -> Intent | None:
        """The user's latest intent on this topic, active or not; None where there never was one."""
        ...

    async def days_done(self, user: str, topic: str) -> Sequence[DayDone]:
        """The user's completed days on this topic, oldest first: the latest ``MOST_DAYS`` of them."""
        ...


def local_date(moment: datetime, zone: str) -> date:
    """The date of ``moment`` where the learner is; in UTC where the zone is not known."""
    try:
        return moment.astimezone(ZoneInfo(zone)).date()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return moment.astimezone(ZoneInfo("UTC")).date()

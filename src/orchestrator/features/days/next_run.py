"""When the next day's plan is prepared: in the morning of the next day, on the learner's own clock."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

PREPARED_AT: Final = time(7)
IDLE_AFTER: Final = timedelta(days=7)
"""Nothing is prepared for those who did nothing for so long."""


def next_run(after: datetime, zone: str) -> datetime:
    """07:00 of the local day after the one of ``after``, in UTC.

    A clock that skips 07:00 shows what would have been that time; one that shows it twice counts once.
    """
    place = ZoneInfo(zone)
    tomorrow = after.astimezone(place).date() + timedelta(days=1)
    return datetime.combine(tomorrow, PREPARED_AT, tzinfo=place).astimezone(UTC)


def is_idle(active_at: datetime, now: datetime) -> bool:
    """Whether somebody did nothing for seven days."""
    return now - active_at > IDLE_AFTER

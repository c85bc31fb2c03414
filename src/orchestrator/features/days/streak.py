"""How many days in a row somebody has learned, by the calendar on their own wall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Self
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True, slots=True)
class Streak:
    """Days in a row up to a completed one: how many, when that was, and in which time zone the learner was.

    Keeping the zone with each completion is what lets people travel: days that were in a row where they
    happened stay so wherever the learner goes next.
    """

    days: int
    at: datetime
    zone: str

    @classmethod
    def first(cls, at: datetime, zone: str) -> Self:
        """The streak of somebody's first completed day."""
        return cls(1, at, zone)

    def then(self, at: datetime, zone: str) -> Streak:
        """The streak after another day was completed at that moment, in that zone."""
        days = self.days if self._is_same_day(at, zone) else self.days + 1
        return Streak(days if self._goes_on(at, zone) else 1, at, zone)

    def current(self, now: datetime, zone: str) -> int:
        """How many days in a row it is now: none once a whole day has passed without learning."""
        return self.days if self._goes_on(now, zone) else 0

    def _is_same_day(self, at: datetime, zone: str) -> bool:
        """The same date was on the wall, also where the date line or a clock took it back."""
        return local_date(at, zone) <= local_date(self.at, self.zone)

    def _goes_on(self, at: datetime, zone: str) -> bool:
        """No whole day lies between; who crosses the date line does not miss the day that it takes."""
        began = local_date(self.at, self.zone)
        return any(_follows(began, local_date(at, place), place) for place in (zone, self.zone))


def local_date(at: datetime, zone: str) -> date:
    """The date on the wall at that moment, in that zone."""
    return at.astimezone(ZoneInfo(zone)).date()


def _follows(day: date, later: date, zone: str) -> bool:
    """Whether no date comes between the two on calendars of the zone."""
    between = (later - day).days - 1
    return between < 1 or (between == 1 and not _exists(day + timedelta(days=1), zone))


def _exists(day: date, zone: str) -> bool:
    """Whether clocks of the zone ever showed the date; a country that crosses the date line skips one."""
    noon = datetime.combine(day, time(12), ZoneInfo(zone))
    return local_date(noon.astimezone(UTC), zone) == day

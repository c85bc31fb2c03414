"""When a schedule is due: a cron expression, read off the wall clock of one time zone.

A wall time that does not exist on a day, since the clock is put forward over it, does not happen on that day.
One that comes twice, since the clock is put back, happens the first time alone.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from orchestrator.core.clock import utc
from orchestrator.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# So far the next time is looked for. The rarest date there is, a fifth weekday of February, needs 40 years
# across 2100.
HORIZON_YEARS: Final = 50

MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class InvalidTimetableError(InvalidInputError):
    """This is no time at which anything could happen."""

    default_code = "invalid_timetable"


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: its name, how many values it has, and what it takes."""

    name: str
    size: int
    takes: str


_FIELDS: Final = (
    _Field("minute", 60, "0-59"),
    _Field("hour", 24, "0-23"),
    _Field("day of the month", 31, "1-31, L for the last day or LW for the last one from Monday to Friday"),
    _Field("month", 12, "1-12 or JAN-DEC"),
    _Field(
        "day of the week",
        7,
        "0-7 or SUN-SAT, where 0 and 7 are Sunday; 1#2 is the second Monday, 5L the last Friday",
    ),
)
_DAY, _WEEKDAY = 2, 4
_NAMES: Final = ", ".join(one.name for one in _FIELDS)
# What the last day of a month, and the last one from Monday to Friday, can be.
_DAYS_FROM_THE_END: Final = {CronSim.LAST: {28, 29, 30, 31}, CronSim.LAST_WEEKDAY: {26, 27, 28, 29, 30, 31}}
# A day with which every check of an expression begins, so that it ends the same whenever it is made.
_SOME_DAY: Final = datetime(2026, 1, 1)  # noqa: DTZ001  # a wall time


@dataclass(frozen=True, slots=True)
class Hands:
    """Minutes, hours, days of the month, months and days of the week (0 is Sunday) of a schedule's times.

    A day that is counted from the end of a month stands for all days that it can be, and the second Monday
    for all Mondays: not all that fits here is a time of the schedule.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]


@dataclass(frozen=True, slots=True)
class Timetable:
    """The times of one schedule. ``cron`` has five fields, or is a macro such as ``@daily``.

    Raises:
        InvalidTimetableError: ``cron`` or ``zone`` says nothing that could happen; the message says why.
    """

    cron: str
    zone: str
    _expression: str = field(init=False, repr=False, compare=False)
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_expression", _checked(self.cron))
        object.__setattr__(self, "_zone", _zone_of(self.zone))

    def first_after(self, moment: float) -> float:
        """The first time later than ``moment``, both in seconds since 1970.

        Raises:
            InvalidTimetableError: none is near.
        """
        found = self.after(moment)
        if found is None:
            raise InvalidTimetableError(
                f"cron {self.cron!r} never happens in {self.zone}: its clock shows no such time within "
                f"{HORIZON_YEARS} years"
            )
        return found

    def after(self, moment: float) -> float | None:
        """The first time later than ``moment``, both in seconds since 1970; None if none is near."""
        return next(self.times_after(moment), None)

    def between(self, first: float, last: float) -> tuple[list[float], float | None]:
        """The times from ``first``, a whole second, to ``last``, both inclusive, and the one after them."""
        found: list[float] = []
        for at in self.times_after(first - 1):
            if at > last:
                return found, at
            found.append(at)
        return found, None

    def times_after(self, moment: float) -> Iterator[float]:
        """All times later than ``moment``, in order, up to the horizon after it."""
        local = self._wall(moment)
        for wall in CronSim(self._expression, local):
            if wall.year > local.year + HORIZON_YEARS:
                return
            at = self._instant(wall)
            if at is not None and at > moment:
                yield at

    def named(self, moment: float) -> float | None:
        """The time of this timetable that the zone's clock shows at ``moment``, a whole second.

        It is an earlier one where the clock shows the same for the second time; None if none is then.
        """
        first = self._instant(self._wall(moment))
        return first if first is not None and self.after(first - 1) == first else None

    @property
    def hands(self) -> Hands:
        """What the clock shows at the times, each of its hands by itself."""
        parsed = CronSim(self._expression, _SOME_DAY)
        return Hands(
            minutes=frozenset(parsed.minutes),
            hours=frozenset(parsed.hours),
            days=frozenset().union(*(_DAYS_FROM_THE_END.get(day, {day}) for day in parsed.days)),
            months=frozenset(parsed.months),
            weekdays=frozenset((day if isinstance(day, int) else day[0]) % 7 for day in parsed.weekdays),
        )

    def _wall(self, moment: float) -> datetime:
        """What the zone's clock shows."""
        return utc(moment).astimezone(self._zone).replace(tzinfo=None)

    def _instant(self, wall: datetime) -> float | None:
        """When the zone's clock shows ``wall`` for the first time; None if it never does."""
        first = wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        exists = first.astimezone(self._zone).replace(tzinfo=None) == wall
        return first.timestamp() if exists else None


def _checked(cron: str) -> str:
    """The expression that ``cron`` stands for, of five sound fields."""
    expression = _expanded(cron)
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        raise InvalidTimetableError(f"cron {cron!r} has {len(fields)} of the five fields: {_NAMES}")
    for number, text in enumerate(fields):
        _check_field(cron, number, text)
    if fields[_DAY] != "*" and fields[_WEEKDAY] != "*":
        raise InvalidTimetableError(
            f"cron {cron!r} names days of the month and days of the week, which some programs take as both "
            "and others as either; leave one of the two fields *, or make two schedules"
        )
    if not _possible(expression):
        raise InvalidTimetableError(
            f"cron {cron!r} never happens: none of its months has a day {fields[_DAY]}"
        )
    return expression


def _expanded(cron: str) -> str:
    if not cron.startswith("@"):
        return cron
    if cron.lower() not in MACROS:
        raise InvalidTimetableError(f"cron {cron!r} is not known; there are {', '.join(MACROS)}")
    return MACROS[cron.lower()]


def _check_field(cron: str, number: int, text: str) -> None:
    """Refuse a field that says nothing, or less than it seems to."""
    described = _FIELDS[number]
    if not _possible(" ".join(text if other == number else "*" for other in range(len(_FIELDS)))):
        raise InvalidTimetableError(
            f"cron {cron!r}: {text!r} is no {described.name}; it takes {described.takes}, * for all, "
            "lists (1,2), ranges that go upwards (1-5) and steps (*/2)"
        )
    for term in text.split(","):
        _, stepped, step = term.partition("/")
        if stepped and int(step) >= described.size:
            raise InvalidTimetableError(
                f"cron {cron!r}: {text!r} steps over all {described.size} values of the {described.name} at "
                "once, where the count begins anew; give a smaller step, or times one by one"
            )


def _possible(expression: str) -> bool:
    try:
        CronSim(expression, _SOME_DAY)
    except (CronSimError, ValueError):  # ValueError: a number too long for Python
        return False
    return True


def _zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as Europe
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"; is {near[0]} meant?" if near else ", such as Europe/Berlin or UTC"
        raise InvalidTimetableError(f"zone {name!r} is no IANA time zone{hint}") from None

"""Times of schedules, held against an oracle that looks at the wall clock minute by minute."""

from __future__ import annotations

import contextlib
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.durable.timetable import MACROS, InvalidTimetableError, Timetable

MINUTE = timedelta(minutes=1)

# Moments (UTC) about which clocks are put forward or back, or a day is left out.
CHANGES = {
    "Europe/Berlin": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "America/Havana": ["2026-03-08T05:00", "2026-11-01T05:00"],  # at midnight
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],  # by half an hour
    "Pacific/Apia": ["2011-12-30T10:00"],  # a whole day is left out
    "Africa/Casablanca": ["2026-02-15T02:00", "2026-03-22T02:00"],  # back for Ramadan, and forth again
    "America/St_Johns": ["2011-03-13T03:31", "2011-11-06T02:31"],  # at one past midnight
    "Antarctica/Troll": ["2026-03-29T01:00", "2026-10-25T01:00"],  # by two hours
    "Asia/Kathmandu": ["2026-01-01T00:00"],  # never, at a quarter to the hour
    "UTC": ["2024-02-28T12:00", "2026-12-31T12:00"],
}
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@dataclass(frozen=True)
class Part:
    """A field as it is written, and the values that it means."""

    text: str
    values: frozenset[int]


def every(low: int, high: int) -> Part:
    """The field that says nothing."""
    return Part("*", frozenset(range(low, high + 1)))


def part(low: int, high: int, names: list[str] | None = None) -> st.SearchStrategy[Part]:
    """Fields of values from ``low`` to ``high``, in every form there is."""

    def written(value: int) -> str:
        return names[value - low] if names else str(value)

    def term(values: tuple[int, int, int, str]) -> Part:
        first, last, step, form = min(values[:2]), max(values[:2]), values[2], values[3]
        if form == "one" or (first == last and form in {"range", "range/step"}):
            return Part(written(first), frozenset({first}))
        if form == "range":
            return Part(f"{written(first)}-{written(last)}", frozenset(range(first, last + 1)))
        if form == "range/step":
            return Part(f"{first}-{last}/{step}", frozenset(range(first, last + 1, step)))
        return Part(f"*/{step}", frozenset(range(low, high + 1, step)))

    def listed(parts: list[Part]) -> Part:
        return Part(",".join(one.text for one in parts), frozenset().union(*(one.values for one in parts)))

    number = st.integers(low, high)
    forms = st.sampled_from(["one", "range", "range/step", "step"])
    terms = st.builds(term, st.tuples(number, number, st.integers(1, high - low), forms))
    return st.just(every(low, high)) | st.lists(terms, min_size=1, max_size=3).map(listed)


LONGEST_MONTHS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


@dataclass(frozen=True)
class Expression:
    """A whole expression, and the oracle's way to tell whether a wall time is of it."""

    minute: Part
    hour: Part
    day: Part
    month: Part
    weekday: Part

    @property
    def text(self) -> str:
        """As users write it."""
        parts = (self.minute, self.hour, self.day, self.month, self.weekday)
        return " ".join(one.text for one in parts)

    @property
    def possible(self) -> bool:
        """Whether one of its months has one of its days."""
        return any(min(self.day.values) <= LONGEST_MONTHS[month - 1] for month in self.month.values)

    def matches(self, wall: datetime) -> bool:
        """Whether that minute is of it."""
        return (
            wall.minute in self.minute.values
            and wall.hour in self.hour.values
            and wall.day in self.day.values
            and wall.month in self.month.values
            and wall.isoweekday() % 7 in self.weekday.values
        )


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    """Expressions of sound fields; perhaps none of the months has one of the days."""
    by_day = draw(st.booleans())
    return Expression(
        minute=draw(part(0, 59)),
        hour=draw(part(0, 23)),
        day=draw(part(1, 31)) if by_day else every(1, 31),
        month=draw(part(1, 12, MONTHS)),
        weekday=every(0, 6) if by_day else draw(part(0, 6, WEEKDAYS)),
    )


def by_the_minute(expression: Expression, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """Watch the zone's clock for every minute of real time; what it showed before does not happen again."""
    found, shown = [], set()
    moment, tz = begin - timedelta(days=2), ZoneInfo(zone)
    while moment <= end:
        wall = moment.astimezone(tz).replace(tzinfo=None)
        if wall not in shown and moment > begin and expression.matches(wall):
            found.append(moment)
        shown.add(wall)
        moment += MINUTE
    return found


changes = st.sampled_from([(zone, change) for zone, moments in CHANGES.items() for change in moments])


possible = expressions().filter(lambda expression: expression.possible)
EVERY_MINUTE = Expression(every(0, 59), every(0, 23), every(1, 31), every(1, 12), every(0, 6))


@given(expressions())
def test_a_date_that_no_year_has_is_refused(expression: Expression) -> None:
    """The 30th of February, the 31st of April and June; but not the 31st of February or March."""
    if expression.possible:
        Timetable(expression.text, "UTC")
    else:
        with pytest.raises(InvalidTimetableError, match="never happens"):
            Timetable(expression.text, "UTC")


@given(possible, changes, st.integers(-1500, 1500))
@example(EVERY_MINUTE, ("Europe/Berlin", "2026-10-25T01:00"), -30)
@example(EVERY_MINUTE, ("Australia/Lord_Howe", "2026-04-04T15:00"), -30)
@example(EVERY_MINUTE, ("Pacific/Apia", "2011-12-30T10:00"), -30)
def test_times_are_those_that_a_watcher_of_the_clock_finds(
    expression: Expression, change: tuple[str, str], minutes: int
) -> None:
    """About every change of every zone: no time that did not exist, none twice, none left out."""
    zone, moment = change
    begin = datetime.fromisoformat(moment).replace(tzinfo=UTC) + minutes * MINUTE
    end = begin + timedelta(days=2)
    times = Timetable(expression.text, zone).times_after(begin.timestamp())
    found = [datetime.fromtimestamp(at, UTC) for at in takewhile(lambda at: at <= end.timestamp(), times)]
    assert found == by_the_minute(expression, zone, begin, end)


@given(possible, changes, st.integers(-86_400 * 400, 86_400 * 400), st.floats(0, 1, exclude_max=True))
def test_the_next_time_is_later_and_is_the_first_of_those_that_follow(
    expression: Expression, change: tuple[str, str], seconds: int, fraction: float
) -> None:
    """From any moment, in the middle of a minute too: asking again from a time gives the one after it."""
    zone, moment = change
    begin = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() + seconds + fraction
    timetable = Timetable(expression.text, zone)
    times = list(islice(timetable.times_after(begin), 4))
    for before, at in zip([begin, *times], times, strict=False):
        assert timetable.after(before) == at > before


def walls(cron: str, zone: str, begin: str, count: int) -> list[str]:
    """The first times after the zone's ``begin``, as its clock shows them."""
    tz = ZoneInfo(zone)
    moment = datetime.fromisoformat(begin).replace(tzinfo=tz).timestamp()
    times = islice(Timetable(cron, zone).times_after(moment), count)
    return [f"{datetime.fromtimestamp(at, tz):%Y-%m-%d %H:%M%z}" for at in times]


def test_a_time_that_a_day_does_not_have_does_not_happen() -> None:
    """The clock goes from 02:00 to 03:00 on 29 March 2026 in Berlin; nobody is woken at 03:30 instead."""
    assert walls("30 2 * * *", "Europe/Berlin", "2026-03-28 00:00", 3) == [
        "2026-03-28 02:30+0100",
        "2026-03-30 02:30+0200",
        "2026-03-31 02:30+0200",
    ]
    assert walls("0 9 * * *", "Pacific/Apia", "2011-12-29 00:00", 2) == [
        "2011-12-29 09:00-1000",
        "2011-12-31 09:00+1400",
    ]


def test_a_time_that_comes_twice_happens_the_first_time() -> None:
    """The clock goes from 03:00 to 02:00 on 25 October 2026 in Berlin; also a step in that hour rests."""
    assert walls("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", 2) == [
        "2026-10-25 02:30+0200",
        "2026-10-26 02:30+0100",
    ]
    assert walls("*/30 2-3 * * *", "Europe/Berlin", "2026-10-25 00:00", 4) == [
        "2026-10-25 02:00+0200",
        "2026-10-25 02:30+0200",
        "2026-10-25 03:00+0100",
        "2026-10-25 03:30+0100",
    ]


def test_rare_dates_are_found() -> None:
    """The 29th of February over a century that has none, and a fifth Monday of February 40 years later."""
    assert walls("0 0 29 2 *", "UTC", "2095-01-01", 2) == ["2096-02-29 00:00+0000", "2104-02-29 00:00+0000"]
    assert walls("0 0 * 2 MON#5", "UTC", "2072-03-01", 1) == ["2112-02-29 00:00+0000"]
    assert walls("0 0 L * *", "UTC", "2028-02-01", 2) == ["2028-02-29 00:00+0000", "2028-03-31 00:00+0000"]
    assert walls("0 0 * * 5L", "UTC", "2026-01-01", 1) == ["2026-01-30 00:00+0000"]


def test_what_the_clock_never_shows_has_no_time() -> None:
    """02:30 on the last Sunday of March is always left out in Berlin; looking for it comes to an end."""
    new_year = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert Timetable("30 2 * 3 0L", "Europe/Berlin").after(new_year) is None
    assert Timetable("30 2 * 3 0L", "America/New_York").after(new_year) is not None


def test_a_machine_without_zone_files_knows_zones_all_the_same() -> None:
    """Small images have none; the zones then come with the package."""
    zoneinfo.reset_tzpath(to=())
    ZoneInfo.clear_cache()
    try:
        assert walls("0 9 * * *", "Europe/Berlin", "2026-07-01", 1) == ["2026-07-01 09:00+0200"]
    finally:
        zoneinfo.reset_tzpath()
        ZoneInfo.clear_cache()


@pytest.mark.parametrize("macro", MACROS)
def test_macros_stand_for_what_everybody_takes_them_for(macro: str) -> None:
    """``@daily`` is midnight, in whatever case it is written."""
    assert Timetable(macro.upper(), "UTC").after(0) == Timetable(MACROS[macro], "UTC").after(0)


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("", "has 0 of the five fields: minute, hour, day of the month, month, day of the week"),
        ("9", "has 1 of the five fields"),
        ("0 0 9 * * *", "has 6 of the five fields"),
        ("60 * * * *", "'60' is no minute; it takes 0-59"),
        ("* 24 * * *", "'24' is no hour; it takes 0-23"),
        ("* * 0 * *", "'0' is no day of the month; it takes 1-31"),
        ("* * * 13 *", "'13' is no month; it takes 1-12 or JAN-DEC"),
        ("* * * * FRI-SUN", "'FRI-SUN' is no day of the week; it takes 0-7 or SUN-SAT"),
        ("* * * * 8", "'8' is no day of the week"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("1,,2 * * * *", "'1,,2' is no minute"),
        ("-1 * * * *", "'-1' is no minute"),
        ("1.5 * * * *", "'1.5' is no minute"),
        (f"{'9' * 5000} * * * *", "is no minute"),
        ("*/90 * * * *", "'*/90' steps over all 60 values of the minute"),
        ("0 */24 * * *", "'*/24' steps over all 24 values of the hour"),
        ("0 0 30 2 *", "never happens: none of its months has a day 30"),
        ("0 0 31 4,6,9,11 *", "never happens: none of its months has a day 31"),
        ("0 0 13 * FRI", "names days of the month and days of the week"),
        ("0 0 */2 * MON", "names days of the month and days of the week"),
        ("@reboot", "'@reboot' is not known; there are @hourly"),
    ],
)
def test_what_says_nothing_clear_is_refused_in_words(cron: str, said: str) -> None:
    """The message names the expression, the field, and what would be right."""
    with pytest.raises(InvalidTimetableError) as refused:
        Timetable(cron, "UTC")
    assert said in refused.value.message
    assert repr(cron) in refused.value.message


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Europe/Berln", "is no IANA time zone; is Europe/Berlin meant?"),
        ("Europe", "is no IANA time zone"),
        ("", "is no IANA time zone"),
        ("../../etc/passwd", "is no IANA time zone"),
        ("/usr/share/zoneinfo/UTC", "is no IANA time zone"),
        ("12:00", "is no IANA time zone, such as Europe/Berlin or UTC"),
        ("UTC\0", "is no IANA time zone"),
    ],
)
def test_a_zone_that_is_none_is_refused_in_words(zone: str, said: str) -> None:
    """With the nearest name where there is one; a path is no name."""
    with pytest.raises(InvalidTimetableError) as refused:
        Timetable("0 9 * * *", zone)
    assert said in refused.value.message


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(cron: str) -> None:
    """Whatever is given is a timetable or refused as none."""
    with contextlib.suppress(InvalidTimetableError):
        Timetable(cron, "UTC").after(0)

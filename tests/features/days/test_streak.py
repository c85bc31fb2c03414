"""Days in a row, by the learner's own calendar, over summer time, date lines and journeys."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.streak import Streak

NEW_YORK, TOKYO = "America/New_York", "Asia/Tokyo"
AUCKLAND, HONOLULU = "Pacific/Auckland", "Pacific/Honolulu"
# Summer time of both halves of the world, a day that Samoa left out, half and quarter hours.
ZONES = st.sampled_from(
    [
        "UTC",
        NEW_YORK,
        TOKYO,
        AUCKLAND,
        HONOLULU,
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "America/St_Johns",
    ]
)
MOMENTS = st.datetimes(datetime(2009, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # aware by timezones


def at(zone: str, text: str) -> datetime:
    """A moment, as clocks in ``zone`` show it."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def streak_of(*done: tuple[str, str]) -> Streak:
    """The streak after days were completed at these places and local times."""
    (zone, text), *later = done
    streak = Streak.first(at(zone, text), zone)
    for zone, text in later:  # the next place
        streak = streak.then(at(zone, text), zone)
    return streak


def test_a_day_counts_once() -> None:
    """However often something is completed on it."""
    done = streak_of((TOKYO, "2025-01-19 00:01"), (TOKYO, "2025-01-19 12:00"), (TOKYO, "2025-01-19 23:59"))
    assert done.days == 1


def test_the_date_on_the_wall_counts_and_not_the_one_in_greenwich() -> None:
    """Both are the same day in UTC, and two days in a row in New York."""
    done = streak_of((NEW_YORK, "2025-01-19 23:30"), (NEW_YORK, "2025-01-20 00:30"))
    assert done.days == 2


def test_a_streak_lives_until_a_whole_day_has_passed() -> None:
    """It stands through the whole next day, and is gone the day after."""
    done = streak_of((NEW_YORK, "2025-01-18 09:00"), (NEW_YORK, "2025-01-19 09:00"))
    assert done.current(at(NEW_YORK, "2025-01-20 23:59"), NEW_YORK) == 2
    assert done.current(at(NEW_YORK, "2025-01-21 00:00"), NEW_YORK) == 0
    assert done.then(at(NEW_YORK, "2025-01-21 00:00"), NEW_YORK).days == 1


@pytest.mark.parametrize("change", ["2025-03-09", "2025-11-02"])
def test_days_of_23_and_25_hours_are_days(change: str) -> None:
    """Summer time begins and ends: late on the day before, late on the day, early on the day after."""
    day = datetime.fromisoformat(change)
    texts = [f"{day + timedelta(days=days):%Y-%m-%d} {hour}" for days, hour in ((-1, "23:59"), (0, "23:59"))]
    done = streak_of(*((NEW_YORK, text) for text in texts))
    assert done.days == 2
    after = f"{day + timedelta(days=1):%Y-%m-%d}"
    assert done.current(at(NEW_YORK, f"{after} 23:59"), NEW_YORK) == 2


def test_nobody_loses_a_day_that_a_flight_took() -> None:
    """From Honolulu on Monday evening to Auckland on Wednesday morning, nine hours later."""
    done = streak_of((HONOLULU, "2025-01-20 23:00"), (AUCKLAND, "2025-01-22 09:00"))
    assert done.days == 2


def test_nobody_gains_by_a_day_that_comes_twice() -> None:
    """From Auckland on Tuesday evening to Honolulu, where it is Tuesday again."""
    done = streak_of((AUCKLAND, "2025-01-21 20:00"), (HONOLULU, "2025-01-21 08:00"))
    assert done.days == 1
    assert done.then(at(HONOLULU, "2025-01-22 08:00"), HONOLULU).days == 2


def test_moving_away_does_not_break_what_was_in_a_row() -> None:
    """In Berlin's reckoning a day lies between the two; where they happened, none did."""
    done = streak_of((TOKYO, "2025-01-20 00:30"), (TOKYO, "2025-01-21 23:30"))
    assert done.days == 2
    assert done.current(at("Europe/Berlin", "2025-01-22 23:00"), "Europe/Berlin") == 2


def test_a_day_that_a_country_left_out_is_not_missed() -> None:
    """Samoa had no 30 December 2011; whoever stays there cannot have learned on it."""
    done = streak_of(("Pacific/Apia", "2011-12-29 23:00"), ("Pacific/Apia", "2011-12-31 01:00"))
    assert done.days == 2


@given(st.lists(MOMENTS, min_size=1, max_size=30), ZONES, st.integers(0, 72))
def test_it_is_the_number_of_dates_in_a_row(moments: list[datetime], zone: str, later_h: int) -> None:
    """For who stays in one place, as one counts on a calendar backwards from today or yesterday."""
    close = sorted(moments[0] + (moment - moments[0]) / 200 for moment in moments)
    streak = Streak.first(close[0], zone)
    for moment in close[1:]:
        streak = streak.then(moment, zone)
    now = close[-1] + timedelta(hours=later_h)
    assert streak.current(now, zone) == on_a_calendar(close, now, zone)


def on_a_calendar(moments: list[datetime], now: datetime, zone: str) -> int:
    """Counted day by day, leaving out what the calendar there does not have."""
    place = ZoneInfo(zone)
    dates = {moment.astimezone(place).date() for moment in moments}
    day = now.astimezone(place).date()
    if day not in dates:
        day = before(day, place)
    count = 0
    while day in dates:
        count, day = count + 1, before(day, place)
    return count


def before(day: date, place: ZoneInfo) -> date:
    """The date that clocks there showed before that one."""
    noon = datetime.fromisoformat(f"{day} 12:00").replace(tzinfo=place)
    moment = noon.astimezone(UTC)
    while moment.astimezone(place).date() == day:
        moment -= timedelta(hours=1)
    return moment.astimezone(place).date()


@given(MOMENTS, st.lists(st.tuples(st.integers(0, 30), ZONES), max_size=12))
def test_who_learns_often_enough_keeps_the_streak_wherever_they_go(
    began: datetime, journey: list[tuple[int, str]]
) -> None:
    """Within 24 hours it is the same day or the next one: it never falls, nor grows by more than one."""
    streak = Streak.first(began, "UTC")
    for hours, zone in journey:
        following = streak.then(streak.at + timedelta(hours=min(hours, 24)), zone)
        assert following.days in (streak.days, streak.days + 1)
        streak = following

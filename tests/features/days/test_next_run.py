"""The morning after, on the learner's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.next_run import is_idle, next_run

MOMENTS = st.datetimes(datetime(2009, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # aware by timezones


def test_the_documents_example() -> None:
    """Done on 19 January in New York: 07:00 on the 20th, which is noon in Greenwich."""
    done = datetime(2025, 1, 19, 15, 30, tzinfo=UTC)
    assert next_run(done, "America/New_York") == datetime(2025, 1, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("done", "zone", "run"),
    [
        ("2025-01-20T03:00Z", "America/New_York", "2025-01-20T12:00Z"),  # still the 19th there
        ("2025-01-20T06:00Z", "America/New_York", "2025-01-21T12:00Z"),  # 01:00 there: not this morning
        ("2025-03-08T20:00Z", "America/New_York", "2025-03-09T11:00Z"),  # summer time begins that night
        ("2025-01-19T15:30Z", "Asia/Kathmandu", "2025-01-20T01:15Z"),
        ("2025-01-19T15:30Z", "Pacific/Kiritimati", "2025-01-20T17:00Z"),  # the 20th there already
    ],
)
def test_it_is_the_next_local_day(done: str, zone: str, run: str) -> None:
    """Whatever day it is in Greenwich."""
    assert next_run(datetime.fromisoformat(done), zone) == datetime.fromisoformat(run)


@given(MOMENTS, st.sampled_from(sorted(available_timezones())))
def test_it_is_seven_on_a_later_day_and_within_two(done: datetime, zone: str) -> None:
    """In every zone of the world, at any moment; where a day is left out, on the day after that."""
    run = next_run(done, zone)
    local, before = run.astimezone(ZoneInfo(zone)), done.astimezone(ZoneInfo(zone))
    assert done < run <= done + timedelta(hours=7 + 24 + 26)
    assert local.date() > before.date()
    assert (local.hour, local.minute, local.second) == (7, 0, 0)


def test_who_did_nothing_for_seven_days_is_idle() -> None:
    """Not at the seventh day itself."""
    active = datetime(2025, 1, 19, tzinfo=UTC)
    assert not is_idle(active, active + timedelta(days=7))
    assert is_idle(active, active + timedelta(days=7, seconds=1))


def test_every_seven_oclock_is_a_quarter_in_utc() -> None:
    """So that a schedule of every quarter of an hour meets each, wherever people live today."""
    today = datetime(2026, 11, 21, 12, tzinfo=UTC)
    offs = {zone: next_run(today, zone).minute % 15 for zone in available_timezones()}
    assert not {zone for zone, minutes in offs.items() if minutes}

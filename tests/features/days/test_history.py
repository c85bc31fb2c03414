"""What our agents may know of a learner, on both databases: their own days, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.core.ids import new_id
from orchestrator.features.days.agents.history import MOST_DAYS, DayDone, local_date
from orchestrator.features.days.intent import Intent
from orchestrator.features.days.repository import DayHistory
from orchestrator.features.days.tables import DaySessionRow, IntentRow

if TYPE_CHECKING:
    from orchestrator.db import Database
    from support.tables import Tables

START = datetime(2026, 1, 5, 18, tzinfo=UTC)


def intent_row(owner: str, topic: str, **changed: Any) -> IntentRow:  # noqa: ANN401 - whatever the columns take
    """An intent that is over."""
    columns: dict[str, Any] = {
        "depth": "informed",
        "end_goal": "Build production ML models",
        "time_per_day_min": 60,
        "user_tz": "America/New_York",
        "meta": {},
        "active": False,
        "created_at": START,
        "active_at": START,
        "next_week": 1,
        "next_day": 1,
    }
    return IntentRow(id=new_id(), owner=owner, topic=topic, **{**columns, **changed})


def day_row(owner: str, topic: str, number: int, *, is_done: bool = True) -> DaySessionRow:
    """The day of that number, completed so many days after the start, or still open."""
    completed: dict[str, Any] = {
        "completed_at": START + timedelta(days=number),
        "completed_tz": "UTC",
        "completion_time_min": 45,
        "confidence": 7,
        "notes": f"Note {number}",
        "streak_days": 1,
    }
    return DaySessionRow(
        id=new_id(),
        owner=owner,
        intent_id=f"intent of {owner} on {topic}"[:36],
        topic=topic,
        week=1 + number // 5,
        day=1 + number % 5,
        planned_min=60,
        plan_title=f"Subject {number}",
        plan_md="# Daily Learning Plan",
        plan={},
        written_by="instructor",
        signals_digest="0" * 64,
        signal_quality={},
        degraded_mode=False,
        degraded_agents=[],
        cache_hits=0,
        cache_misses=4,
        run_id="run-1",
        created_at=START,
        **(completed if is_done else {}),
    )


async def keep(database: Database, *rows: IntentRow | DaySessionRow) -> None:
    """Write them down as their owners'."""
    for row in rows:
        async with database.session(row.owner) as session:
            session.add(row)


async def test_the_latest_intent_on_a_topic_counts(tables: Tables) -> None:
    """Active or not, and of that user alone."""
    async with tables.database() as database:
        await keep(
            database,
            intent_row("ada", "Tides", time_per_day_min=20),
            intent_row("ada", "Tides", depth="expert", time_per_day_min=90),
            intent_row("ada", "Moons"),
            intent_row("bob", "Tides", time_per_day_min=180),
        )
        history = DayHistory(database)
        known = await history.intent("ada", "Tides")
        assert known == Intent("Tides", "expert", "Build production ML models", 90, "America/New_York")
        assert await history.intent("ada", "Stars") is None
        assert await history.intent("eve", "Tides") is None


async def test_days_that_are_done_come_oldest_first(tables: Tables) -> None:
    """Not those that are open, those of another topic, or somebody else's."""
    async with tables.database() as database:
        await keep(
            database,
            day_row("ada", "Tides", 2),
            day_row("ada", "Tides", 0),
            day_row("ada", "Tides", 3, is_done=False),
            day_row("ada", "Moons", 1),
            day_row("bob", "Tides", 1),
        )
        done = await DayHistory(database).days_done("ada", "Tides")
    assert done == [
        DayDone(1, 1, "Subject 0", 45, 7, "Note 0", START),
        DayDone(1, 3, "Subject 2", 45, 7, "Note 2", START + timedelta(days=2)),
    ]


async def test_of_many_days_the_latest_are_told(tables: Tables) -> None:
    """A learner of years costs no more than one of months."""
    async with tables.database() as database:
        async with database.session("ada") as session:
            for number in range(MOST_DAYS + 3):
                session.add(day_row("ada", "Tides", number))
        done = await DayHistory(database).days_done("ada", "Tides")
    assert [done[0].title, done[-1].title] == ["Subject 3", f"Subject {MOST_DAYS + 2}"]
    assert len(done) == MOST_DAYS


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("UTC", 6),
        ("America/New_York", 5),
        ("Pacific/Kiritimati", 6),
        ("No/Where", 6),
        ("../etc/passwd", 6),
        ("", 6),
    ],
)
def test_dates_are_those_of_the_learners_place(zone: str, day: int) -> None:
    """And those of UTC where nobody knows the place."""
    assert local_date(datetime(2026, 1, 6, 3, tzinfo=UTC), zone).day == day

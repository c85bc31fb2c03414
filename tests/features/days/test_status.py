"""Where somebody stands."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import event

from support.days_room import START, DaysRoom

UNHEARD = {"available": False, "fresh": False, "last_updated": None}
NO_STATS = {
    "total_sessions": 0,
    "completed_sessions": 0,
    "total_time_min": 0,
    "average_confidence": 0.0,
    "current_streak_days": 0,
}


async def test_before_any_intent_there_is_nothing(any_room: DaysRoom) -> None:
    """Nulls and zeros, and no agent was heard; others' things are nobody else's."""
    await any_room.sync(owner="bob")
    planned = await any_room.run(owner="bob")
    await any_room.done(planned.session_id, owner="bob")
    assert (await any_room.status()).model_dump(mode="json") == {
        "user_id": "ada",
        "active_intent": None,
        "latest_session": None,
        "signal_freshness": dict.fromkeys(("clo", "alex", "ta", "socratic"), UNHEARD),
        "next_scheduled_run": None,
        "learning_stats": NO_STATS,
    }


async def test_the_documents_status(any_room: DaysRoom) -> None:
    """Three days done: every field of the document, with what happened."""
    intent = await any_room.sync()
    any_room.clock.jump(-timedelta(days=2).total_seconds())
    await any_room.day_done(1, 1, minutes=60, confidence=7)
    any_room.clock.jump(timedelta(days=1).total_seconds())
    await any_room.day_done(1, 2, minutes=75, confidence=8)
    any_room.clock.jump(timedelta(days=1).total_seconds())
    planned = await any_room.run(1, 3)
    any_room.clock.jump(1800)
    await any_room.done(planned.session_id, 45, 7, "Struggled")
    status = (await any_room.status()).model_dump(mode="json")
    freshness = status.pop("signal_freshness")
    assert status == {
        "user_id": "ada",
        "active_intent": {
            "id": intent.intent_id,
            "topic": "Machine Learning",
            "depth": "informed",
            "end_goal": "Build production ML models",
            "time_per_day_min": 60,
            "user_tz": "America/New_York",
            "created_at": "2025-01-19T15:00:00Z",
        },
        "latest_session": {
            "id": planned.session_id,
            "week": 1,
            "day": 3,
            "topic": "Machine Learning",
            "plan_title": "Neural Network Fundamentals",
            "degraded_mode": False,
            "created_at": "2025-01-19T15:00:00Z",
            "completion": {
                "completion_time_min": 45,
                "confidence": 7,
                "notes": "Struggled",
                "completed_at": "2025-01-19T15:30:00Z",
            },
        },
        "next_scheduled_run": {
            "week": 1,
            "day": 4,
            "estimated_time": "2025-01-20T12:00:00Z",
            "timezone": "America/New_York",
        },
        "learning_stats": {
            "total_sessions": 3,
            "completed_sessions": 3,
            "total_time_min": 180,
            "average_confidence": 7.3,
            "current_streak_days": 3,
        },
    }
    assert freshness["ta"] == {"available": True, "fresh": True, "last_updated": "2025-01-19T15:00:00Z"}


async def test_freshness_grows_old_with_each_agents_window(room: DaysRoom) -> None:
    """72 hours for ta, 168 for clo and socratic, 336 for alex."""
    await room.sync()
    await room.run()
    fresh = []
    for hours in (71, 2, 94, 2, 166, 2):
        room.clock.jump(timedelta(hours=hours).total_seconds())
        now = (await room.status()).signal_freshness.model_dump()
        assert all(each["available"] for each in now.values())
        fresh.append({agent for agent, each in now.items() if each["fresh"]})
    all_of_them = {"clo", "alex", "ta", "socratic"}
    assert fresh == [
        all_of_them,
        all_of_them - {"ta"},
        all_of_them - {"ta"},
        {"alex"},
        {"alex"},
        set(),
    ]


async def test_another_intent_has_heard_nobody_yet(room: DaysRoom) -> None:
    """What agents said about what was learned before is not about this."""
    await room.sync()
    await room.run()
    room.clock.jump(60)
    await room.sync(topic="Sailing")
    status = await room.status()
    assert status.signal_freshness.clo.model_dump() == UNHEARD
    assert status.latest_session is not None
    assert status.latest_session.topic == "Machine Learning"


async def test_a_streak_stays_with_who_travels(room: DaysRoom) -> None:
    """Two evenings in New York, then a move to Tokyo, where it is another date."""
    await room.sync()
    room.clock.set((START + timedelta(hours=10)).timestamp())  # 20:00 in New York
    await room.day_done(1, 1)
    room.clock.jump(timedelta(days=1).total_seconds())
    await room.day_done(1, 2)
    await room.sync(user_tz="Asia/Tokyo")
    room.clock.jump(timedelta(hours=20).total_seconds())
    assert (await room.status()).learning_stats.current_streak_days == 2
    await room.day_done(1, 3)
    assert (await room.status()).learning_stats.current_streak_days == 3
    room.clock.jump(timedelta(hours=72).total_seconds())
    assert (await room.status()).learning_stats.current_streak_days == 0


async def test_status_asks_the_tables_twice(any_room: DaysRoom) -> None:
    """However much there is."""
    await any_room.sync()
    await any_room.day_done()
    asked: list[str] = []
    engine = await any_room.database.store.apart(lambda connection: connection.engine)

    def count(*given: object) -> None:
        asked.append(str(given[2]))

    event.listen(engine, "before_cursor_execute", count)
    await any_room.status()
    event.remove(engine, "before_cursor_execute", count)
    assert sum("FROM day_" in statement or "FROM (SELECT" in statement for statement in asked) == 2


async def test_a_line_is_logged_for_each_call(room: DaysRoom, logs: list[dict[str, object]]) -> None:
    """As the document shows it, of calls that fail too."""
    await room.sync()
    planned = await room.run()
    await room.done(planned.session_id, notes="SECRET")
    await room.status()
    told = [line for line in logs if line["event"] == "function called"]
    assert [line["function"] for line in told] == ["intent.sync", "day.run", "day.done", "status"]
    assert told[1] == {
        "event": "function called",
        "log_level": "info",
        "function": "day.run",
        "user_id": "ada",
        "execution_time_ms": 0,
        "cache_hits": 0,
        "cache_misses": 4,
        "degraded_mode": False,
    }
    assert "SECRET" not in str(logs)


async def test_an_average_is_rounded_as_people_round(any_room: DaysRoom) -> None:
    """Half a tenth goes up: 29 / 4 is 7.25, which is 7.3 to one decimal."""
    await any_room.sync()
    for number, confidence in enumerate((7, 7, 7, 8), start=1):
        await any_room.day_done(1, number, confidence=confidence)
    assert (await any_room.status()).learning_stats.average_confidence == 7.3

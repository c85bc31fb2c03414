"""What somebody wants to learn: one intent at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from orchestrator.db import SYSTEM
from orchestrator.features.days.repository import DayHistory
from orchestrator.features.days.schemas import MOST_META_BYTES, IntentSync
from orchestrator.features.days.tables import IntentRow
from support.days_room import INTENT, OWNER, START, DaysRoom

if TYPE_CHECKING:
    from collections.abc import Sequence


async def rows(room: DaysRoom) -> Sequence[IntentRow]:
    """All intents, oldest first."""
    async with room.database.session(SYSTEM) as session:
        return await session.all(select(IntentRow).order_by(IntentRow.id))


async def test_an_intent_is_answered_as_documented(any_room: DaysRoom) -> None:
    """Every field of the document, and no others."""
    synced = (await any_room.sync()).model_dump(mode="json")
    assert synced == {
        "intent_id": synced["intent_id"],
        "active": True,
        "topic": "Machine Learning",
        "depth": "informed",
        "end_goal": "Build production ML models",
        "time_per_day_min": 60,
        "user_tz": "America/New_York",
        "created_at": "2025-01-19T15:00:00Z",
    }
    assert list(synced)[:2] == ["intent_id", "active"]
    [row] = await rows(any_room)
    assert (row.owner, row.meta, row.track_label) == (OWNER, INTENT["meta"], None)


async def test_the_same_topic_changes_the_intent_and_keeps_its_id(any_room: DaysRoom) -> None:
    """However it is spelt; what is left out stays as it was, and it was created when it was."""
    first = await any_room.sync(track_label="ML track")
    any_room.clock.jump(60)
    again = await any_room.sync(
        topic=" machine  LEARNING ", depth="expert", time_per_day_min=30, user_tz=None, meta=None
    )
    assert again.intent_id == first.intent_id
    assert again.created_at == first.created_at
    assert (again.topic, again.depth, again.time_per_day_min) == ("machine  LEARNING", "expert", 30)
    assert again.user_tz == "America/New_York"
    [row] = await rows(any_room)
    assert (row.meta, row.track_label) == (INTENT["meta"], "ML track")
    assert [kind for kind, _ in await any_room.told()] == ["intent_created"]


async def test_another_topic_takes_its_place(any_room: DaysRoom) -> None:
    """The one before is active no more; to come back to it is a new beginning. Others keep theirs."""
    await any_room.sync(owner="bob")
    topics = ["Machine Learning", "Sailing", "Machine Learning"]
    ids = [(await any_room.sync(topic=topic)).intent_id for topic in topics]
    assert len(set(ids)) == 3
    kept = {row.id: row.active for row in await rows(any_room) if row.owner == OWNER}
    assert kept == {ids[0]: False, ids[1]: False, ids[2]: True}
    status = await any_room.status("bob")
    assert status.active_intent is not None


async def test_replaced_intents_that_came_to_no_day_are_forgotten(any_room: DaysRoom) -> None:
    """Of everybody, an hour after they were replaced: whoever changes his mind all day fills no table."""
    with_a_day = (await any_room.sync(topic="Sailing")).intent_id
    await any_room.run(1, 1)
    any_room.clock.jump(86_400)
    for number in range(3):
        await any_room.sync(topic=f"Topic {number}")
    bobs = [(await any_room.sync(owner="bob", topic=topic)).intent_id for topic in ("Knots", "Tides")]
    before = len(await rows(any_room))
    any_room.clock.jump(3_500)
    active = (await any_room.sync(topic="Weather")).intent_id
    too_early = await any_room.forget_replaced()
    any_room.clock.jump(200)

    assert (before, too_early, await any_room.forget_replaced()) == (6, 0, 3)
    left = {row.id for row in await rows(any_room)}
    assert left >= {with_a_day, active, bobs[1]}
    assert [row.topic for row in await rows(any_room) if row.id not in {with_a_day, active, bobs[1]}] == [
        "Topic 2"
    ], "which was replaced but a moment ago"
    any_room.clock.jump(3_600)
    assert await any_room.forget_replaced() == 1


async def test_whatever_comes_at_once_leaves_one_active(any_room: DaysRoom) -> None:
    """Ten topics at the same moment."""
    await asyncio.gather(*[any_room.sync(topic=f"Topic {number}") for number in range(10)])
    assert sum(row.active for row in await rows(any_room)) == 1


async def test_the_table_itself_takes_one_active_intent(any_room: DaysRoom) -> None:
    """Whoever forgot to ask first is refused."""
    await any_room.sync()
    [row] = await rows(any_room)
    copied = {column.name: getattr(row, column.name) for column in IntentRow.__table__.columns}
    with pytest.raises(Exception, match=r"(?i)unique"):
        async with any_room.database.session(OWNER) as session:
            session.add(IntentRow(**copied | {"id": "another"}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"topic": ""}, "blank"),
        ({"topic": "x" * 501}, "at most 500"),
        ({"topic": "two\nlines"}, "line breaks"),
        ({"topic": None}, "Field required"),
        ({"depth": "deep"}, "'surface', 'informed' or 'expert'"),
        ({"end_goal": " "}, "blank"),
        ({"end_goal": "\x00"}, "control characters"),
        ({"time_per_day_min": 19}, "greater than or equal to 20"),
        ({"time_per_day_min": 181}, "less than or equal to 180"),
        ({"time_per_day_min": "60"}, "valid integer"),
        ({"time_per_day_min": True}, "valid integer"),
        ({"user_tz": "New York"}, "IANA"),
        ({"user_tz": "america/new_york"}, "IANA"),
        ({"user_tz": "../../etc/passwd"}, "IANA"),
        ({"user_tz": ""}, "IANA"),
        ({"meta": {"x": "y" * MOST_META_BYTES}}, "at most 16,384"),
        ({"meta": {"x": float("nan")}}, "no JSON"),
        ({"meta": {"x": "\ud800"}}, "no JSON"),
        ({"meta": []}, "valid dictionary"),
    ],
)
def test_what_is_no_intent_is_refused_with_a_reason(changes: dict[str, Any], said: str) -> None:
    """What is wrong, and what is right."""
    body = {name: value for name, value in (INTENT | changes).items() if value is not None}
    with pytest.raises(ValidationError, match=said):
        IntentSync.model_validate(body)


@pytest.mark.parametrize("minutes", [20, 180])
def test_the_bounds_themselves_are_taken(minutes: int) -> None:
    """20 to 180 minutes; what is optional has its default, and fields that nobody knows are let go."""
    body = {"topic": "T", "depth": "surface", "end_goal": "G", "time_per_day_min": minutes, "extra": 1}
    wanted = IntentSync.model_validate(body)
    assert (wanted.user_tz, wanted.meta, wanted.track_label) == ("UTC", {}, None)


async def test_time_stands_in_what_is_answered(room: DaysRoom) -> None:
    """By the room's clock."""
    assert (await room.sync()).created_at == START


async def test_days_stay_with_a_topic_that_is_spelt_anew(any_room: DaysRoom) -> None:
    """What was done before is what our agents go by, under either spelling, and nobody else's."""
    await any_room.sync()
    await any_room.day_done(1, 1)
    await any_room.sync(topic="machine learning")
    any_room.clock.jump(60)
    await any_room.day_done(1, 2)
    history = DayHistory(any_room.database)
    done = [(each.week, each.day) for each in await history.days_done(OWNER, "machine learning")]
    assert done == [(1, 1), (1, 2)]
    assert await history.days_done("eve", "machine learning") == []

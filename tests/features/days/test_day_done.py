"""Telling how a day went."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from orchestrator.core.errors import NotFoundError
from orchestrator.features.days.schemas import DayDone

if TYPE_CHECKING:
    from support.days_room import DaysRoom

HINT = "Good time investment! For day 4, focus on reinforcing concepts to build confidence."
NOTES = "Struggled with backpropagation but got the basic concept"


async def test_the_documents_example(any_room: DaysRoom) -> None:
    """45 of 60 minutes at confidence 7, on day 3."""
    await any_room.sync()
    planned = await any_room.run(1, 3)
    any_room.clock.jump(1800)
    done = await any_room.done(planned.session_id, 45, 7, NOTES)
    assert done.model_dump(mode="json") == {
        "ok": True,
        "next_day_hint": HINT,
        "completion_summary": {
            "session_id": planned.session_id,
            "completion_time_min": 45,
            "confidence": 7,
            "notes": NOTES,
            "completed_at": "2025-01-19T15:30:00Z",
        },
    }


async def test_told_twice_the_first_time_counts(any_room: DaysRoom) -> None:
    """The same answer, whatever the second one says, and one event."""
    await any_room.sync()
    planned = await any_room.run()
    first = await any_room.done(planned.session_id, 45, 7, NOTES)
    any_room.clock.jump(60)
    assert await any_room.done(planned.session_id, 45, 7, NOTES) == first
    assert await any_room.done(planned.session_id, 10, 1, "Something else") == first
    kinds = [kind for kind, _ in await any_room.told()]
    assert kinds.count("instructor_plan_completed") == 1
    assert (await any_room.status()).learning_stats.total_time_min == 45


async def test_told_at_once_it_counts_once(any_room: DaysRoom) -> None:
    """Whoever comes first, all get the same answer."""
    await any_room.sync()
    planned = await any_room.run()
    answers = await asyncio.gather(*[any_room.done(planned.session_id, minutes) for minutes in range(41, 49)])
    assert all(answer == answers[0] for answer in answers)
    kinds = [kind for kind, _ in await any_room.told()]
    assert kinds.count("instructor_plan_completed") == 1


NO_SESSIONS = ["", "nonsense", "x" * 200, "01a1ff7a-9ac0-715b-9087-9c6ddca97411", "' OR 1=1", "\x00" * 36]


async def test_what_is_no_session_is_not_found(any_room: DaysRoom) -> None:
    """Whatever the text."""
    for session_id in NO_SESSIONS:
        with pytest.raises(NotFoundError) as refused:
            await any_room.done(session_id)
        assert refused.value.code == "SESSION_NOT_FOUND"


async def test_others_sessions_are_not_found(any_room: DaysRoom) -> None:
    """They do not even say that they exist, and stay as they are."""
    await any_room.sync()
    planned = await any_room.run()
    with pytest.raises(NotFoundError) as refused:
        await any_room.done(planned.session_id, owner="eve")
    assert refused.value.code == "SESSION_NOT_FOUND"
    latest = (await any_room.status()).latest_session
    assert latest is not None
    assert latest.completion is None


async def test_time_counts_against_what_was_planned(room: DaysRoom) -> None:
    """The plan of that day, whatever the intent has become since."""
    await room.sync(time_per_day_min=40)
    planned = await room.run()
    await room.sync(time_per_day_min=180)
    assert (await room.done(planned.session_id, 32)).next_day_hint.startswith("Excellent")


async def test_a_session_of_an_earlier_intent_can_be_done(room: DaysRoom) -> None:
    """It changes nothing of what comes next in the active one."""
    await room.sync()
    earlier = await room.run(1, 4)
    await room.sync(topic="Sailing")
    room.clock.jump(timedelta(hours=2).total_seconds())
    await room.done(earlier.session_id)
    following = (await room.status()).next_scheduled_run
    assert following is not None
    assert (following.week, following.day) == (1, 1)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"completion_time_min": 0}, "greater than or equal to 1"),
        ({"completion_time_min": 481}, "less than or equal to 480"),
        ({"completion_time_min": 45.5}, "valid integer"),
        ({"confidence": 0}, "greater than or equal to 1"),
        ({"confidence": 11}, "less than or equal to 10"),
        ({"notes": "x" * 10_001}, "at most 10,000"),
        ({"notes": 5}, "valid string"),
        ({"session_id": None}, "valid string"),
    ],
)
def test_ranges(told: dict[str, Any], said: str) -> None:
    """1 to 480 minutes, confidence from 1 to 10."""
    with pytest.raises(ValidationError, match=said):
        DayDone.model_validate({"session_id": "s", "completion_time_min": 45} | told)


@pytest.mark.parametrize("notes", [None, "", "  \n"])
def test_what_is_optional(notes: str | None) -> None:
    """Confidence is 5 unless told, and an empty field for notes is none."""
    done = DayDone.model_validate({"session_id": "s", "completion_time_min": 480, "notes": notes})
    assert (done.confidence, done.notes) == (5, None)

"""What is told of lessons: made, completed, failed; each once, at once, and none lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import repeat
from typing import TYPE_CHECKING

from orchestrator.web.events import STREAM, Event
from support.lessons_room import OWNER, LessonsRoom
from support.model_server import error, model_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.tables import Tables

PATIENCE_S = 30
PRIVATE_TOPIC = "Ada's illness"


@asynccontextmanager
async def telling(room: LessonsRoom) -> AsyncIterator[LessonsRoom]:
    """The room with the background work that tells of endings."""
    task = asyncio.create_task(room.service.tell_endings_always())
    try:
        yield room
    finally:
        task.cancel()
        await asyncio.wait([task])


async def told(room: LessonsRoom, count: int) -> list[Event]:
    """The first events that were told, once there are so many."""
    async with asyncio.timeout(PATIENCE_S):
        for pause_s in repeat(0.001):
            await room.outbox.relay()
            entries = await room.engine.streams.read(STREAM)
            if len(entries) >= count:
                return [Event.of(entry) for entry in entries]
            await asyncio.sleep(pause_s)
    raise AssertionError("repeat has an end")


async def test_a_lesson_is_told_as_it_is_made_and_completed(tables: Tables) -> None:
    """To its owner, by ids and state alone: what somebody learns is their own affair."""
    async with LessonsRoom.on(tables) as room, telling(room):
        session_id = await room.create(PRIVATE_TOPIC)
        (made,) = await told(room, 1)
        assert (made.type, made.owner) == ("lesson_created", OWNER)
        assert made.data == {"user_id": OWNER, "session_id": session_id}
        await room.run(session_id)
        _, completed = await told(room, 2)
        assert (completed.type, completed.owner) == ("lesson_completed", OWNER)
        assert completed.data == {"user_id": OWNER, "session_id": session_id, "status": "completed"}


async def test_an_ending_that_nobody_saw_is_told_at_the_next_start(tables: Tables) -> None:
    """As after a crash at the end of the run; and then not again."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await room.run(session_id)
    async with LessonsRoom.on(tables) as room:
        await room.service.keep()
        await room.service.keep()
        events = await told(room, 2)
    assert [event.type for event in events] == ["lesson_created", "lesson_completed"]


async def test_a_run_that_goes_on_after_a_restart_is_told_when_it_ends(tables: Tables) -> None:
    """Whoever starts anew waits for what is open."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await room.watch_until(session_id, "step-start")
    async with LessonsRoom.on(tables) as room, telling(room):
        await room.service.keep()
        events = await told(room, 2)
        assert [event.type for event in events] == ["lesson_created", "lesson_completed"]


async def test_each_failed_attempt_is_told(tables: Tables) -> None:
    """And the one that made the lesson after all."""
    with model_server() as provider:
        provider.respond = error(401, message="wrong key")
        async with LessonsRoom.on(tables, provider) as room, telling(room):
            session_id = await room.create()
            await room.run(session_id)
            assert [event.type for event in await told(room, 2)] == ["lesson_created", "lesson_failed"]
            await room.run(session_id)
            events = await told(room, 3)
            assert events[2].type == "lesson_failed"
            assert events[1].id != events[2].id


async def test_a_deleted_session_is_told_no_ending(tables: Tables) -> None:
    """Who deletes it knows."""
    async with LessonsRoom.on(tables) as room, telling(room):
        session_id = await room.create()
        await room.watch_until(session_id, "step-start")
        await room.service.delete(OWNER, session_id)
        other = await room.create()
        await room.run(other)
        events = await told(room, 3)
        assert [event.type for event in events] == ["lesson_created", "lesson_created", "lesson_completed"]
        assert events[2].data["session_id"] == other

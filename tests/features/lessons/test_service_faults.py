"""Sessions whose rows other processes change, or whose tables are away for a while."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.core.errors import NotFoundError
from support import model_server
from support.lessons_room import OWNER, LessonsRoom
from support.postgres_server import own_postgres_server
from support.scripted_lesson import CALLS, TOKENS_PER_CALL, scripted
from support.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_AGAIN_S = 0.01
LONG_OUTAGE_S = 600.0  # on the room's clock


async def test_a_run_that_starts_behind_a_deletion_is_ended(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may delete the session between a run's start and the news of it."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        start = room.engine.start

        async def start_and_lose_the_row(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # handed on
            run = await start(*arguments, **options)
            await room.sessions.remove(OWNER, session_id)
            return run

        monkeypatch.setattr(room.engine, "start", start_and_lose_the_row)
        with pytest.raises(NotFoundError):
            await room.service.run(OWNER, session_id)
        assert await room.engine.list() == []


@pytest.mark.postgres
async def test_what_was_not_kept_while_the_tables_were_away_is_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work that goes on hour after hour outlives a restart of the database."""
    with own_postgres_server(tmp_path / "server") as server:
        async with LessonsRoom.on(Tables(tmp_path / "unused.db", server.databases.url())) as room:
            session_id = await room.create("Photosynthesis")
            await room.run(session_id)
            hours = iter([server.stop, server.start, asyncio.current_task().cancel])  # type: ignore[union-attr]  # there is one

            async def hour() -> None:
                next(hours)()
                await asyncio.sleep(0)

            monkeypatch.setattr(room.service, "_hour", hour)
            with pytest.raises(asyncio.CancelledError):
                await room.service.keep_always()
            row = await room.sessions.find(OWNER, session_id)
    assert row is not None
    assert row.kept_run == 1


@pytest.mark.postgres
async def test_a_lesson_waits_for_tables_that_are_away_for_long(tmp_path: Path) -> None:
    """Whatever step is under way: it neither fails nor asks its model again for what it answered."""
    with own_postgres_server(tmp_path / "server") as server, model_server.model_server() as provider:
        answers = [threading.Event() for _ in range(CALLS)]
        provider.will(*(answered_after(may_answer) for may_answer in answers))
        async with LessonsRoom.on(Tables(tmp_path / "unused.db", server.databases.url()), provider) as room:
            session_id = await room.create()
            running = asyncio.create_task(room.run(session_id))
            for number, may_answer in enumerate(answers, start=1):
                await until(partial(has_asked, provider, number))
                await asyncio.to_thread(server.stop)
                may_answer.set()
                await until(partial(has_come, room.clock.time() + LONG_OUTAGE_S, room))
                await asyncio.to_thread(server.start)
            told = await running
            spent = await room.spent(session_id)
    assert told[-1]["type"] == "final"
    assert "reset" not in str(told)
    assert len(provider.asked) == CALLS
    assert spent == CALLS * TOKENS_PER_CALL


def has_asked(provider: model_server.ModelServer, times: int) -> bool:
    """Whether the model was asked that often."""
    return len(provider.asked) >= times


def has_come(moment: float, room: LessonsRoom) -> bool:
    """Whether it is that late on the room's clock."""
    return room.clock.time() >= moment


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that other threads bring about."""
    while not holds():  # noqa: ASYNC110  # they tell nobody
        await asyncio.sleep(LOOK_AGAIN_S)


def answered_after(may_answer: threading.Event) -> model_server.Answering:
    """What the scripted model says, once it may."""

    def answer(asked: model_server.Asked) -> model_server.Reply:
        may_answer.wait()
        return scripted(asked)

    return answer

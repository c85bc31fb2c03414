"""Sessions whose rows other processes change, or whose tables are away for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.core.errors import NotFoundError
from support.lessons_room import OWNER, LessonsRoom
from support.postgres_server import own_postgres_server
from support.tables import Tables

if TYPE_CHECKING:
    from pathlib import Path


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

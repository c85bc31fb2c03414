"""The rows of lessons, where several processes work on them at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import pytest

from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import UnavailableError
from orchestrator.features.lessons.repository import SessionRepository
from orchestrator.features.lessons.tables import Intent
from orchestrator.web.events import Outbox
from support.session_rows import row

if TYPE_CHECKING:
    from orchestrator.db import Database
    from support.tables import Tables


def sessions_in(database: Database) -> SessionRepository:
    """The rows in there; nobody relays what is told of them."""
    return SessionRepository(database, Outbox(database, no_streams, SystemClock()))


def no_streams() -> NoReturn:
    """There are none."""
    raise UnavailableError


async def test_of_many_that_promise_the_next_run_one_does(tables: Tables) -> None:
    """Each has seen the same row; the others learn that it has changed."""
    async with tables.database() as database:
        sessions = sessions_in(database)
        await sessions.add("ann", row("s-1"))
        seen = await sessions.find("ann", "s-1")
        assert seen is not None
        promised = await asyncio.gather(*[sessions.promise_run(seen) for _ in range(10)])
        found = await sessions.find("ann", "s-1")
    assert sorted(promised) == [False] * 9 + [True]
    assert found is not None
    assert (found.runs, found.intent) == (1, Intent.LAUNCH)


async def test_a_started_run_keeps_no_later_promise(tables: Tables) -> None:
    """Who started the first run, and says so late, does not take the second one's promise away."""
    async with tables.database() as database:
        sessions = sessions_in(database)
        await sessions.add("ann", row("s-1"))
        idle = await sessions.find("ann", "s-1")
        assert idle is not None
        await sessions.promise_run(idle)
        first = await sessions.find("ann", "s-1")
        assert first is not None
        await sessions.promise_run(first)
        await sessions.run_started(first)
        second = await sessions.find("ann", "s-1")
        assert second is not None
        assert (second.runs, second.intent) == (2, Intent.LAUNCH)
        await sessions.run_started(second)
        started = await sessions.find("ann", "s-1")
    assert started is not None
    assert started.intent == Intent.NONE


@pytest.mark.parametrize("session_id", ["a\x00b", "a\ud800b", "", "x" * 4_000])
async def test_what_is_no_id_is_not_found(tables: Tables, session_id: str) -> None:
    """Also where the database could not even be asked for it."""
    async with tables.database() as database:
        assert await sessions_in(database).find("ann", session_id) is None

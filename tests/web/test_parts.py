"""Parts: opened in order, waited for while they are away."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest
from structlog.testing import capture_logs

from orchestrator.core.errors import SettingsError, UnavailableError
from orchestrator.core.settings import Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.feature import Component, Feature
from orchestrator.web.parts import Part, Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from support.sample_room import SampleRoom


class Server:
    """A part that is there or away as the test says; ``told`` has what was done with it and its fellows."""

    def __init__(self, name: str, told: list[str], *, away: str = "") -> None:
        self.name = name
        self.away = away
        self.broken = ""
        self._told = told

    def part(self) -> Part:
        """Itself, as a part of a service."""
        return Part(self.name, self._open, self._reach, self._health)

    async def _reach(self) -> None:
        if self.broken:
            raise SettingsError(self.broken)
        if self.away:
            raise UnavailableError(self.away)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        await self._reach()
        self._told.append(f"{self.name} opened")
        yield
        self._told.append(f"{self.name} closed")

    async def _health(self) -> Component:
        return Component("unhealthy", self.away) if self.away else Component("healthy")


class Pauses:
    """Time between tries: the test sees how long each pause would be, does something in it, and ends it."""

    def __init__(self) -> None:
        self.lengths: list[float] = []
        self._begun = asyncio.Semaphore(0)
        self._ends = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        """Sleep until the test says."""
        self.lengths.append(seconds)
        self._begun.release()
        await self._ends.acquire()

    @asynccontextmanager
    async def during_next(self) -> AsyncIterator[None]:
        """Wait for the next pause to begin; it ends with the block."""
        await self._begun.acquire()
        yield
        self._ends.release()

    async def pass_by(self, times: int = 1) -> None:
        """Let so many pauses pass."""
        for _ in range(times):
            async with self.during_next():
                pass


async def has_told(told: list[str], lines: int) -> None:
    """Wait until so much was done with the parts, and then for what follows at once."""
    while len(told) < lines:  # noqa: ASYNC110  # a list tells nobody
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def ask(app: FastAPI, path: str) -> httpx2.Response:
    """One request, in process."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        return await client.get(path)


async def until_ready(app: FastAPI) -> None:
    """Wait until the service says that it is ready."""
    while (await ask(app, "/ready")).status_code != 200:  # noqa: ASYNC110  # as any prober does
        await asyncio.sleep(0.01)


@pytest.fixture
def told() -> list[str]:
    """What was done with the parts, in order."""
    return []


async def test_parts_are_opened_in_order_and_closed_backwards(told: list[str]) -> None:
    """One may need another that stands before it."""
    parts = Parts([Server("tables", told).part(), Server("engine", told).part()])
    async with parts.opened():
        parts.check()
        told.append("serving")
    assert told == ["tables opened", "engine opened", "serving", "engine closed", "tables closed"]


async def test_nothing_is_opened_until_all_can_be_reached(told: list[str]) -> None:
    """An engine would begin to work on tables that are away. The pauses grow up to a limit."""
    pauses = Pauses()
    tables = Server("tables", told, away="no database")
    parts = Parts([Server("engine", told).part(), tables.part()], sleep=pauses.sleep)
    async with parts.opened():
        await pauses.pass_by(6)
        async with pauses.during_next():
            assert told == []
            with pytest.raises(UnavailableError, match=r"it waits for tables \(no database\)"):
                parts.check()
            tables.away = ""
        await has_told(told, 2)
        parts.check()
    assert pauses.lengths == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


async def test_what_is_missing_is_logged_once_per_change(told: list[str]) -> None:
    """Not at every try."""
    pauses = Pauses()
    tables, engine = Server("tables", told, away="no database"), Server("engine", told, away="no server")
    with capture_logs() as logs:
        async with Parts([tables.part(), engine.part()], sleep=pauses.sleep).opened():
            await pauses.pass_by(2)
            async with pauses.during_next():
                engine.away = ""
            async with pauses.during_next():
                tables.away = ""
            await has_told(told, 2)
    assert [line.get("missing") for line in logs] == [
        {"tables": "no database", "engine": "no server"},
        {"tables": "no database"},
        None,
    ]


async def test_a_part_that_waiting_does_not_mend_ends_the_start(told: list[str]) -> None:
    """At once, or later by word to whoever serves; what was opened is closed."""
    engine = Server("engine", told)
    engine.broken = "the key is refused"
    with pytest.raises(SettingsError, match="the key is refused"):
        async with Parts([engine.part()]).opened():
            told.append("serving")
    assert told == []

    pauses, over = Pauses(), asyncio.Event()
    engine = Server("engine", told, away="no server")
    parts = Parts([Server("tables", told).part(), engine.part()], sleep=pauses.sleep)
    parts.on_failure(over.set)

    async def serve() -> None:
        async with parts.opened():
            async with pauses.during_next():
                engine.broken = "the key is refused"
            await over.wait()

    with pytest.raises(SettingsError, match="the key is refused"):
        await serve()
    assert told == []


async def test_waiting_ends_with_the_service(told: list[str]) -> None:
    """Whoever stops it while it waits, does not wait for the next try."""
    pauses = Pauses()
    async with Parts([Server("engine", told, away="no server").part()], sleep=pauses.sleep).opened():
        pass
    assert told == []


async def test_requests_are_told_what_is_missing_until_all_is_there(
    room: SampleRoom, told: list[str]
) -> None:
    """Rooms answer 503, /ready and /health name the part; then all goes on by itself."""
    tables = Server("tables", told, away="no database at db:5432")
    app = create_app(House(Settings()), [room.feature], parts=[tables.part()])
    async with app.router.lifespan_context(app):
        refused, ready, health = [await ask(app, path) for path in ("/things", "/ready", "/health")]
        tables.away = ""
        await until_ready(app)
        served = await ask(app, "/things")
        tables.away = "no database at db:5432"
        lost = await ask(app, "/ready")

    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert "no database at db:5432" in refused.json()["detail"]
    assert ready.status_code == 503
    assert "tables (no database at db:5432)" in ready.json()["detail"]
    assert (health.status_code, health.json()["status"]) == (200, "unhealthy")
    assert health.json()["components"]["tables"] == {
        "status": "unhealthy",
        "detail": "no database at db:5432",
    }
    assert served.status_code == 200
    assert (lost.status_code, "tables" in lost.json()["detail"]) == (503, True)


async def test_a_sweep_that_finds_a_part_away_is_done_again(room: SampleRoom, told: list[str]) -> None:
    """The rooms' start hooks are a part too: nobody is served before they have run whole."""

    async def sweep() -> None:
        told.append("sweeping")
        if len(told) == 1:
            raise UnavailableError("the database went away")

    app = create_app(House(Settings()), [Feature("sweeper", room.feature.router, on_start=(sweep,))])
    async with app.router.lifespan_context(app):
        await until_ready(app)
    assert told == ["sweeping", "sweeping"]


async def test_background_work_goes_on_when_a_part_is_back(room: SampleRoom) -> None:
    """A consumer whose database restarted needs no restart itself, and nobody is told it failed."""
    tries: list[str] = []
    at_work = asyncio.Event()

    async def consume() -> None:
        tries.append("begun")
        if len(tries) == 1:
            raise UnavailableError("the database went away")
        at_work.set()
        await asyncio.Event().wait()

    app = create_app(House(Settings()), [Feature("consumer", room.feature.router, background=(consume,))])
    async with app.router.lifespan_context(app):
        await at_work.wait()
        assert (await ask(app, "/ready")).status_code == 200


async def test_sessions_that_nobody_can_count_are_null(room: SampleRoom) -> None:
    """/health answers also while the engine is away."""

    async def count() -> int:
        raise UnavailableError("no server")

    app = create_app(House(Settings()), [Feature("counted", room.feature.router, sessions=count)])
    answer = await ask(app, "/health")
    assert (answer.status_code, answer.json()["sessions"]) == (200, None)

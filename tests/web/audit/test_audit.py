"""The audit trail: added to and never changed, read by admins, without secrets, and of a bounded size."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orchestrator.core.errors import UnauthorizedError, UnavailableError
from orchestrator.core.settings import LimitSettings, Settings
from orchestrator.db import Database
from orchestrator.db.row_security import SYSTEM_ROLE
from orchestrator.testing import ManualClock
from orchestrator.web.application import House, create_app
from orchestrator.web.audit import Audit, Trail
from orchestrator.web.audit.audit import CLOCKS_APART
from orchestrator.web.audit.refusals import MOST_SOURCES, Refusals
from orchestrator.web.audit.routes import build
from orchestrator.web.audit.schemas import AuditEntry, AuditFilter
from orchestrator.web.auth.access import Admin
from orchestrator.web.auth.caller import LOCAL, OPERATOR, Caller
from orchestrator.web.auth.dev import dev_sign_in
from orchestrator.web.feature import Feature

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection
    from starlette.types import Scope

    from support.tables import Tables

SECRET = "the-secret-of-the-data-directory"  # noqa: S105 - of this test
ADMIN = {"Authorization": f"Bearer {SECRET}"}
ADA = Caller.of_user("ada")
DAY = timedelta(days=1)
FORBIDDEN = (
    "DELETE FROM audit_entries",
    "UPDATE audit_entries SET action = 'nothing'",
    "UPDATE audit_entries SET who = 'user:bob', person = 'bob'",
    "UPDATE audit_entries SET who = 'user:erased', person = '', source = '', action = 'nothing'",
    "UPDATE audit_entries SET who = 'user:erased', person = ''",
    "UPDATE audit_entries SET kept_until = '2000-01-01 00:00:00.000000'",
)


class Lab:
    """A trail on one database, by a clock that tests own."""

    def __init__(self, database: Database) -> None:
        self.clock, self.database = ManualClock(), database
        self.audit = Audit(database, self.clock, retention=DAY)
        self.refusals = Refusals(self.audit, self.clock)

    async def all(self, **wanted: object) -> list[AuditEntry]:
        """What an admin reads."""
        return (await self.audit.page(AuditFilter.model_validate(wanted))).items

    async def try_sql(self, statement: str) -> None:
        """What somebody might try who is past the service, in the database itself."""

        def try_it(connection: Connection) -> None:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL ROLE {SYSTEM_ROLE}"))
            connection.execute(text(statement))

        await self.database.store.apart(try_it)

    @asynccontextmanager
    async def client(self, address: str = "192.0.2.1") -> AsyncGenerator[httpx2.AsyncClient]:
        """A caller of a service with the trail, where who has no token is nobody."""
        router = APIRouter()

        @router.post("/engines/{engine_id}/stop")
        async def stop(engine_id: str, _: Admin, trail: Trail) -> str:
            await trail.record("engine.stop", engine_id)
            return "stopped"

        sign_in = replace(dev_sign_in(SECRET), is_dev=False)
        settings = Settings(limits=LimitSettings(burst=1_000))
        house = House(settings, self.clock, sign_in=sign_in, audit=self.audit, refusals=self.refusals)
        app = create_app(house, [Feature("engines", router), build(self.audit, self.refusals)])
        transport = httpx2.ASGITransport(app, client=(address, 4_711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
            yield http


@pytest.fixture
async def lab(tables: Tables) -> AsyncIterator[Lab]:
    """On each database in turn."""
    async with tables.database() as database:
        yield Lab(database)


@pytest.fixture
async def file_lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """On SQLite alone, for what has nothing to do with the database."""
    async with Database(tmp_path / "tables.db") as database:
        yield Lab(database)


async def test_a_route_leaves_who_did_what_when_and_from_where(lab: Lab) -> None:
    """An admin reads it back over HTTP; who was not let in did nothing, and left nothing."""
    async with lab.client() as http:
        refused = await http.post("/engines/e1/stop")
        done = await http.post("/engines/e1/stop", headers=ADMIN)
        read = await http.get("/api/v1/audit", headers=ADMIN)

    assert (refused.status_code, done.status_code) == (401, 200)
    (entry,) = read.json()["items"]
    assert {name: entry[name] for name in ("action", "who", "person", "subject", "source", "times")} == {
        "action": "engine.stop",
        "who": "operator",
        "person": None,
        "subject": "e1",
        "source": "192.0.2.1",
        "times": 1,
    }
    assert entry["at"] == lab.clock.datetime.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("since", ["0.5", "soon", "2026-11-21", "2026-11-21T07:30:00"])
async def test_a_moment_has_a_date_a_time_and_a_zone(file_lab: Lab, since: str) -> None:
    """What may be meant differently is refused."""
    async with file_lab.client() as http:
        answer = await http.get("/api/v1/audit", params={"since": since}, headers=ADMIN)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "since")


async def test_the_trail_is_for_admins(file_lab: Lab) -> None:
    """Whoever else asks learns nothing of it."""
    async with file_lab.client() as http:
        nobody = await http.get("/api/v1/audit")
    assert nobody.status_code == 401


async def test_what_is_written_is_not_changed(tables: Tables) -> None:
    """Not by the service's own role in the database either: its triggers refuse it."""
    async with tables.database() as database:
        lab = Lab(database)
        lab.audit = Audit(database, lab.clock, retention=None)
        await lab.audit.record("lesson.delete", ADA, subject="s1", source="192.0.2.1")
        before = await lab.all()
        for statement in FORBIDDEN:
            with pytest.raises(DBAPIError, match="never changed"):
                await lab.try_sql(statement)
        assert await lab.all() == before


async def test_an_entry_is_not_replaced_or_emptied(tables: Tables) -> None:
    """Each database has a way of its own to change rows without saying so."""
    async with tables.database() as database:
        lab = Lab(database)
        await lab.audit.record("lesson.delete", ADA, subject="s1")
        before = await lab.all()
        replaced = (
            "INSERT OR REPLACE INTO audit_entries SELECT id, at, 'nothing', who, person, subject, source, "
            "times, kept_until FROM audit_entries"
        )

        def as_its_owner(connection: Connection) -> None:
            is_postgres = connection.dialect.name == "postgresql"
            connection.execute(text("TRUNCATE audit_entries" if is_postgres else replaced))

        with pytest.raises(DBAPIError, match="never changed"):
            await database.store.apart(as_its_owner)
        assert await lab.all() == before


async def test_a_person_is_taken_out_of_entries_that_stay(lab: Lab) -> None:
    """On erasure: what was done is still told, but not by whom or from where; others stay as they are."""
    await lab.audit.record("lesson.delete", ADA, subject="s1", source="192.0.2.1")
    await lab.audit.record("lesson.delete", Caller.of_user("bob"), subject="s2", source="192.0.2.2")
    held = await lab.audit.of_person("ada")
    blanked = await lab.audit.blank("ada")

    assert [(entry.subject, entry.source) for entry in held] == [("s1", "192.0.2.1")]
    assert blanked == 1
    assert await lab.audit.of_person("ada") == []
    assert [(e.who, e.person, e.subject, e.source) for e in await lab.all()] == [
        ("user:bob", "bob", "s2", "192.0.2.2"),
        ("user:erased", None, "s1", ""),
    ]


async def test_entries_go_when_their_time_is_over(lab: Lab) -> None:
    """Each has its time from when it was written; a longer retention later on does not bring it back."""
    await lab.audit.record("lesson.delete", ADA, subject="old")
    lab.clock.now += (DAY + CLOCKS_APART).total_seconds() - 1
    early = await lab.audit.sweep()
    await lab.audit.record("lesson.delete", ADA, subject="new")
    lab.clock.now += 1
    assert (early, await lab.audit.sweep()) == (0, 1)
    assert [entry.subject for entry in await lab.all()] == ["new"]


async def test_a_clock_that_is_ahead_of_the_databases_ends_no_sweep(lab: Lab) -> None:
    """The database has a clock of its own, and removes nothing before its time: not now, then in an hour."""
    now = datetime.now(UTC).timestamp()
    lab.clock.now = now - DAY.total_seconds() + 30
    await lab.audit.record("lesson.delete", ADA)
    lab.clock.now = now + 60
    assert await lab.audit.sweep() == 0


async def test_entries_are_found_and_paged(lab: Lab) -> None:
    """Newest first, by what was done, by whom, to what and when."""
    done = [(OPERATOR, "run.fork"), (ADA, "lesson.delete"), (OPERATOR, "run.cancel")]
    for number, (caller, action) in enumerate([*done, *done[1:]]):
        await lab.audit.record(action, caller, subject=f"s{number}")
        lab.clock.now += 60

    async def found(**wanted: object) -> list[str]:
        return [entry.subject for entry in await lab.all(**wanted)]

    start = lab.clock.datetime - timedelta(minutes=5)
    assert await found() == ["s4", "s3", "s2", "s1", "s0"]
    assert await found(who="user:ada") == ["s3", "s1"]
    assert await found(action="run.cancel") == ["s4", "s2"]
    assert await found(action="run.") == ["s4", "s2", "s0"]
    assert await found(action="ru%.") == []
    assert await found(subject="s2") == ["s2"]
    assert await found(since=start + timedelta(minutes=1), until=start + timedelta(minutes=3)) == ["s2", "s1"]
    first = await lab.audit.page(AuditFilter(limit=3))
    rest = await lab.audit.page(AuditFilter(limit=3, before=first.next))
    assert [entry.subject for entry in (*first.items, *rest.items)] == ["s4", "s3", "s2", "s1", "s0"]
    assert rest.next is None


async def test_what_strangers_write_is_made_harmless(lab: Lab) -> None:
    """Ids come from addresses: no secret, no control character and no endless text gets in by them."""
    await lab.audit.record("run.cancel", LOCAL, subject="a\x00b\x1b[31m " + "ork_0123456789ab_" + "x" * 43)
    await lab.audit.record("run.cancel", LOCAL, subject="x" * 10_000)
    long, odd = await lab.all()
    assert odd.subject == "a?b?[31m ***"
    assert long.subject == "x" * 300


async def test_a_refused_sign_in_is_on_record_without_its_token(file_lab: Lab) -> None:
    """The first of a source in a minute at once, the others as a number when the minute is over."""
    async with file_lab.client() as http:
        for number in range(4):
            answer = await http.get("/health", headers={"X-API-Key": f"wrong-{number}"})
            assert answer.status_code == 401
    at_once = await file_lab.all()
    await file_lab.refusals.flush()
    later = await file_lab.all()

    assert [(entry.who, entry.subject, entry.source, entry.times) for entry in at_once] == [
        ("nobody", "unauthorized", "192.0.2.1", 1)
    ]
    assert [entry.times for entry in later] == [3, 1]
    assert "wrong" not in str(later)


async def test_a_flood_of_refused_sign_ins_writes_few_entries(file_lab: Lab) -> None:
    """From however many addresses; nothing is lost from the sum."""

    def scope_of(number: int) -> Scope:
        return {"type": "http", "client": (f"2001:db8:{number % 1_000:x}::1", 1)}

    for number in range(5_000):
        await file_lab.refusals.note(scope_of(number), UnauthorizedError())
    await file_lab.refusals.flush()
    entries = await file_lab.all(action="sign_in.refused", limit=1_000)

    assert len(entries) == 2 * MOST_SOURCES + 1
    assert sum(entry.times for entry in entries) == 5_000
    assert {entry.source for entry in entries if entry.times > 4} == {"others"}


async def test_a_trail_that_is_away_lets_nothing_be_done(
    file_lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written down is not done; a refused sign-in is refused all the same."""

    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("The tables are away.")

    monkeypatch.setattr(file_lab.audit, "record", away)
    async with file_lab.client() as http:
        stopped = await http.post("/engines/e1/stop", headers=ADMIN)
        refused = await http.get("/api/v1/audit", headers={"X-API-Key": "wrong"})
    assert (stopped.status_code, refused.status_code) == (503, 401)

"""API keys: made and revoked by admins, kept as hashes, good for what their scopes say."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy import text

from orchestrator.core.settings import LimitSettings, Settings
from orchestrator.db import Database
from orchestrator.testing import ManualClock
from orchestrator.web.application import House, create_app
from orchestrator.web.audit import Audit
from orchestrator.web.audit.schemas import AuditFilter
from orchestrator.web.auth.access import Admin, Learner, Service, User
from orchestrator.web.auth.dev import dev_sign_in
from orchestrator.web.auth.keys import routes
from orchestrator.web.auth.keys.secret import Secret
from orchestrator.web.auth.keys.service import KeyStore
from orchestrator.web.feature import Feature
from orchestrator.web.idempotency.answers import Answers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from pathlib import Path

    from orchestrator.web.auth.caller import Caller
    from support.tables import Tables

OPERATOR = "the-secret-of-the-data-directory"
ADMIN = {"Authorization": f"Bearer {OPERATOR}"}
ROOMS = ("lessons", "days")


def told(caller: Caller) -> dict[str, str]:
    """What a route was told of its caller."""
    return {"role": caller.role, "user": caller.user, "name": caller.name}


def rooms() -> list[Feature]:
    """Two rooms, and a route for each other kind of caller."""
    lessons, days, others = APIRouter(tags=["lessons"]), APIRouter(tags=["days"]), APIRouter()

    @lessons.get("/lessons")
    async def lesson(caller: Learner) -> dict[str, str]:
        return told(caller)

    @days.get("/days")
    async def day(caller: User) -> dict[str, str]:
        return told(caller)

    @others.get("/service")
    async def service(caller: Service) -> dict[str, str]:
        return told(caller)

    @others.get("/admin")
    async def admin(caller: Admin) -> dict[str, str]:
        return told(caller)

    return [Feature(str(number), router) for number, router in enumerate((lessons, days, others))]


class Lab:
    """Processes with sign-in on one database, by a clock that tests own."""

    def __init__(self, database: Database) -> None:
        self.clock, self.database = ManualClock(), database
        self.audit = Audit(database, self.clock, retention=None)

    @asynccontextmanager
    async def process(self) -> AsyncGenerator[httpx2.AsyncClient]:
        """Another process of the service."""
        keys = KeyStore(self.database, self.clock, ROOMS, self.audit)
        sign_in = replace(dev_sign_in(OPERATOR), is_dev=False, keys=keys)
        answers = Answers(self.database, self.clock, longest_s=60)
        settings = Settings(limits=LimitSettings(burst=1_000))
        app = create_app(
            House(settings, self.clock, sign_in=sign_in, answers=answers), [*rooms(), routes.build(keys)]
        )
        transport = httpx2.ASGITransport(app)
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


async def made(http: httpx2.AsyncClient, *scopes: str, **more: object) -> dict[str, Any]:
    """A new key."""
    answer = await http.post("/api/v1/keys", json={"name": "k", "scopes": scopes, **more}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


def by(key: dict[str, Any], **more: str) -> dict[str, str]:
    """The headers of a program that has the key."""
    return {"X-API-Key": key["key"], **more}


async def test_a_key_acts_as_its_user_in_its_rooms(lab: Lab) -> None:
    """In other rooms, and where services or admins are asked for, it is refused."""
    async with lab.process() as http:
        key = await made(http, "lessons", user="ada")
        inside = await http.get("/lessons", headers=by(key))
        refused = [await http.get(path, headers=by(key)) for path in ("/days", "/service", "/admin")]
        as_bob = await http.get("/lessons", headers=by(key, **{"X-User-ID": "bob"}))

    assert inside.json() == {"role": "user", "user": "ada", "name": f"key:{key['id']}"}
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert refused[0].json()["code"] == "key_scope"
    assert as_bob.status_code == 403


async def test_a_services_key_acts_as_whom_it_names(file_lab: Lab) -> None:
    """It is a service, in all rooms, and no admin."""
    async with file_lab.process() as http:
        key = await made(http, "service")
        service = await http.get("/service", headers=by(key))
        as_ada = await http.get("/days", headers=by(key, **{"X-User-ID": "ada"}))
        admin = await http.get("/admin", headers=by(key))
    assert service.json() == {"role": "service", "user": "", "name": f"key:{key['id']}"}
    assert as_ada.json()["user"] == "ada"
    assert admin.status_code == 403


async def test_an_admins_key_makes_keys(file_lab: Lab) -> None:
    """And what it made says so."""
    async with file_lab.process() as http:
        key = await made(http, "admin")
        body = {"name": "second", "scopes": ["lessons"], "user": "ada"}
        second = await http.post("/api/v1/keys", json=body, headers=by(key))
    assert (second.status_code, second.json()["created_by"]) == (201, f"key:{key['id']}")


async def test_revoked_keys_open_nothing_in_any_process(lab: Lab) -> None:
    """From the very next request on; revoking once more changes nothing."""
    async with lab.process() as one, lab.process() as other:
        key = await made(one, "lessons", user="ada")
        before = [(await http.get("/lessons", headers=by(key))).status_code for http in (one, other)]
        address = f"/api/v1/keys/{key['id']}"
        revoked = await one.delete(address, headers=ADMIN)
        after = [await http.get("/lessons", headers=by(key)) for http in (one, other)]
        lab.clock.now += 60
        again = await other.delete(address, headers=ADMIN)

    assert before == [200, 200]
    assert [answer.status_code for answer in after] == [401, 401]
    assert "revoked" in after[0].json()["detail"]
    trail = (await lab.audit.page(AuditFilter(subject=key["id"]))).items
    assert [(entry.action, entry.who) for entry in trail] == [
        ("key.revoke", "operator"),
        ("key.create", "operator"),
    ]
    assert revoked.json()["revoked_at"] == again.json()["revoked_at"] is not None


async def test_a_key_may_end_by_itself(file_lab: Lab) -> None:
    """At its time, to the second."""
    async with file_lab.process() as http:
        key = await made(http, "lessons", user="ada", expires_in_days=1)
        file_lab.clock.now += 86_400 - 1
        before = await http.get("/lessons", headers=by(key))
        file_lab.clock.now += 1
        after = await http.get("/lessons", headers=by(key))
    assert (before.status_code, after.status_code) == (200, 401)


async def test_the_key_itself_is_shown_once_and_kept_nowhere(lab: Lab) -> None:
    """Not in the list, not in the tables, not under the Idempotency-Key that it was made with."""
    async with lab.process() as http:
        body = {"name": "backup", "scopes": ["lessons"], "user": "ada"}
        headers = ADMIN | {"Idempotency-Key": "make-one"}
        key = (await http.post("/api/v1/keys", json=body, headers=headers)).json()
        again = await http.post("/api/v1/keys", json=body, headers=headers)
        listed = await http.get("/api/v1/keys", headers=ADMIN)
    rows = await lab.database.store.apart(
        lambda connection: [
            str(connection.execute(text(f"SELECT * FROM {table}")).all())  # noqa: S608 - of ours
            for table in ("api_keys", "idempotency_keys")
        ]
    )

    (shown,) = listed.json()["items"]
    assert shown == {name: value for name, value in key.items() if name != "key"}
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_answer_not_kept")
    secret = key["key"].split("_", 2)[2]
    assert len(secret) == 43
    assert key["id"] in rows[0]
    assert not any(secret[:20] in text for text in (*rows, listed.text))


async def test_last_use_is_told_to_the_hour(file_lab: Lab) -> None:
    """So that a key that is used all the time does not write all the time."""
    async with file_lab.process() as http:
        key = await made(http, "lessons", user="ada")

        async def last_used() -> str | None:
            await http.get("/lessons", headers=by(key))
            (item,) = (await http.get("/api/v1/keys", headers=ADMIN)).json()["items"]
            used: str | None = item["last_used_at"]
            return used

        first = await last_used()
        file_lab.clock.now += 3_599
        second = await last_used()
        file_lab.clock.now += 1
        third = await last_used()
    assert first is not None
    assert first == second != third


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"scopes": ["lessons"]}, "Name the user whom this key acts as"),
        ({"scopes": ["lessons"], "user": "a\nb"}, "Name the user whom this key acts as"),
        (
            {"scopes": ["garden"], "user": "ada"},
            "no scope garden. A key takes: days, lessons, service, admin",
        ),
        ({"scopes": ["admin"], "user": "ada"}, "admin opens all that there is to it"),
        ({"scopes": ["service", "lessons"]}, "service opens all that there is to it"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"], "expires_in_days": 0}, "expires_in_days"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(
    file_lab: Lab, body: dict[str, object], said: str
) -> None:
    """400 with what is wrong and what is right."""
    async with file_lab.process() as http:
        answer = await http.post("/api/v1/keys", json={"name": "k", **body}, headers=ADMIN)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    "change", [lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"), str.upper, lambda _: "x"]
)
async def test_what_only_looks_like_a_key_opens_nothing(file_lab: Lab, change: Callable[[str], str]) -> None:
    """One character is enough; and nothing tells how close it was."""
    async with file_lab.process() as http:
        key = await made(http, "lessons", user="ada")
        answer = await http.get("/lessons", headers={"X-API-Key": change(key["key"])})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_keys_are_for_admins_alone(file_lab: Lab) -> None:
    """A user's key makes no other, and sees none."""
    async with file_lab.process() as http:
        key = await made(http, "lessons", user="ada")
        wanted = {"name": "k", "scopes": ["admin"]}
        statuses = [
            (await http.get("/api/v1/keys", headers=by(key))).status_code,
            (await http.post("/api/v1/keys", json=wanted, headers=by(key))).status_code,
            (await http.delete(f"/api/v1/keys/{key['id']}", headers=by(key))).status_code,
            (await http.get("/api/v1/keys")).status_code,
            (await http.delete("/api/v1/keys/0123456789ab", headers=ADMIN)).status_code,
        ]
    assert statuses == [403, 403, 403, 401, 404]


def test_no_two_keys_are_alike_and_none_is_printed() -> None:
    """A traceback or a log line that has one shows its id alone."""
    keys = [Secret.new() for _ in range(100)]
    assert len({key.text for key in keys}) == len({key.id for key in keys}) == 100
    assert all(key.text not in repr(key) and Secret.read(key.text) == key for key in keys)


async def test_before_the_tables_are_there_the_caller_is_asked_to_come_again(tmp_path: Path) -> None:
    """A service that is starting says so, instead of failing."""
    database = Database(tmp_path / "tables.db")
    async with Lab(database).process() as http:
        answer = await http.get("/lessons", headers={"X-API-Key": Secret.new().text})
    await database.close()
    assert answer.status_code == 503

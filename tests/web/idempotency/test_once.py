"""What a client sends twice under one key is done once, on both databases."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import select

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.core.settings import LimitSettings, ServerSettings, Settings
from orchestrator.db import SYSTEM, Database
from orchestrator.testing import ManualClock
from orchestrator.web.application import House, create_app
from orchestrator.web.auth.access import Anyone, Learner
from orchestrator.web.auth.dev import dev_sign_in
from orchestrator.web.auth.sign_in import SignIn
from orchestrator.web.feature import Feature
from orchestrator.web.idempotency import answers as answers_module
from orchestrator.web.idempotency.answers import Answers
from orchestrator.web.idempotency.once import secret_answer
from orchestrator.web.idempotency.tables import IdempotencyRow
from orchestrator.web.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from support.tables import Tables

LONGEST_S = 60.0


class Shop:
    """Counts what was really ordered; a test may hold an order up, or have it fail."""

    def __init__(self) -> None:
        self.orders: list[Any] = []
        self.going_on = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.fails = False

    def router(self) -> APIRouter:
        """Its routes."""
        router = APIRouter()

        @router.post("/orders", status_code=201)
        async def order(what: dict[str, Any], response: Response, _: Anyone) -> dict[str, Any]:
            self.going_on.set()
            await self.may_go_on.wait()
            if self.fails:
                raise UnavailableError("The shop is closed.")
            self.orders.append(what)
            response.headers["Location"] = f"/orders/{len(self.orders)}"
            return {"number": len(self.orders), **what}

        @router.post("/missing")
        async def missing(_: Learner) -> None:
            self.orders.append("missing")
            raise NotFoundError("There is none.")

        @router.post("/secrets", dependencies=[Depends(secret_answer)])
        async def secret(_: Learner) -> str:
            self.orders.append("secret")
            return "the secret"

        @router.post("/large")
        async def large(_: Learner) -> str:
            self.orders.append("large")
            return "x" * 100_000

        @router.post("/watch")
        async def watch(request: Request, _: Learner) -> Response:
            self.orders.append("watch")

            async def events() -> AsyncGenerator[tuple[str, str]]:
                yield "1", "{}"

            return EventStream(request, events())

        return router


class Lab:
    """A service with the shop on a database, by a clock that tests own."""

    def __init__(self, database: Database) -> None:
        self.shop, self.clock, self.database = Shop(), ManualClock(), database
        self.answers = Answers(database, self.clock, longest_s=LONGEST_S)

    @asynccontextmanager
    async def client(self, sign_in: SignIn | None = None) -> AsyncGenerator[httpx2.AsyncClient]:
        """A caller of a process of its own."""
        settings = Settings(limits=LimitSettings(burst=1_000), server=ServerSettings(max_body_bytes=1_000))
        house = House(settings, sign_in=sign_in or dev_sign_in(), answers=self.answers, clock=self.clock)
        app = create_app(house, [Feature("shop", self.shop.router())])
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
            yield http

    async def rows(self) -> list[IdempotencyRow]:
        """Everything that is kept."""
        async with self.database.session(SYSTEM) as session:
            return await session.all(select(IdempotencyRow))


@pytest.fixture
async def lab(tables: Tables) -> AsyncIterator[Lab]:
    """The shop, on each database in turn."""
    async with tables.database() as database:
        yield Lab(database)


@pytest.fixture
async def file_lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """On SQLite alone, for what has nothing to do with the database."""
    async with Database(tmp_path / "tables.db") as database:
        yield Lab(database)


def keyed(key: str = "k1", user: str = "ada") -> dict[str, str]:
    """The headers of a request of ``user`` under ``key``."""
    return {"Idempotency-Key": key, "X-User-ID": user}


async def test_the_second_request_gets_the_first_ones_answer(lab: Lab) -> None:
    """Status, body and headers that matter; under either name of the header, with or without quotes."""
    async with lab.client() as http:
        tea = {"what": "tea"}
        first = await http.post("/orders", json=tea, headers=keyed())
        second = await http.post("/orders", json=tea, headers=keyed())
        third = await http.post(
            "/orders", json=tea, headers={"X-Idempotency-Key": '"k1"', "X-User-ID": "ada"}
        )

    assert [answer.status_code for answer in (first, second, third)] == [201, 201, 201]
    assert first.content == second.content == third.content
    assert {answer.headers["location"] for answer in (first, second, third)} == {"/orders/1"}
    assert [answer.headers.get("idempotency-replayed") for answer in (first, second)] == [None, "true"]
    assert second.headers["content-type"] == "application/json"
    assert lab.shop.orders == [tea]


async def test_of_two_requests_at_the_same_moment_one_runs(lab: Lab) -> None:
    """In two processes on one database: the other one is told that it is under way."""
    async with lab.client() as one, lab.client() as other:
        lab.shop.may_go_on.clear()
        asked = [
            asyncio.create_task(http.post("/orders", json={"n": 1}, headers=keyed())) for http in (one, other)
        ]
        await lab.shop.going_on.wait()
        (refused,), _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        lab.shop.may_go_on.set()
        answers = [await each for each in asked]

    assert (refused.result().status_code, refused.result().json()["code"]) == (409, "idempotency_in_progress")
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert lab.shop.orders == [{"n": 1}]


async def test_many_requests_at_the_same_moment_order_once(lab: Lab) -> None:
    """However many there are, one runs; the others get its answer or come again."""
    async with lab.client() as http:
        answers = await asyncio.gather(
            *[http.post("/orders", json={"n": 1}, headers=keyed()) for _ in range(8)]
        )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert lab.shop.orders == [{"n": 1}]


@pytest.mark.parametrize(("path", "body"), [("/orders", {"n": 2}), ("/orders?gift=yes", {"n": 1})])
async def test_the_same_key_for_something_else_is_refused(
    file_lab: Lab, path: str, body: dict[str, int]
) -> None:
    """422, and nothing is done: the client has mixed up its keys."""
    async with file_lab.client() as http:
        await http.post("/orders", json={"n": 1}, headers=keyed())
        other = await http.post(path, json=body, headers=keyed())

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert file_lab.shop.orders == [{"n": 1}]


async def test_nobody_gets_the_answer_of_another_user_or_address(lab: Lab) -> None:
    """The same key means another thing to each of them."""
    async with lab.client() as http:
        ada = await http.post("/orders", json={"n": 1}, headers=keyed(user="ada"))
        bob = await http.post("/orders", json={"n": 1}, headers=keyed(user="bob"))
        local = await http.post("/orders", json={"n": 1}, headers={"Idempotency-Key": "k1"})
        elsewhere = await http.post("/missing", headers=keyed(user="ada"))

    assert [answer.json()["number"] for answer in (ada, bob, local)] == [1, 2, 3]
    assert elsewhere.status_code == 404
    assert sorted(row.owner for row in await lab.rows()) == ["ada", "ada", "bob", "local"]


async def test_a_crash_blocks_no_key_for_ever(lab: Lab) -> None:
    """Who was under way when the process died has a lease that ends; the next attempt then goes on."""
    async with lab.client() as http:
        lab.shop.may_go_on.clear()
        died = asyncio.create_task(http.post("/orders", json={"n": 1}, headers=keyed()))
        await lab.shop.going_on.wait()
        meanwhile = await http.post("/orders", json={"n": 1}, headers=keyed())
        lab.clock.now += LONGEST_S + 11
        lab.shop.going_on.clear()
        later = asyncio.create_task(http.post("/orders", json={"n": 1}, headers=keyed()))
        await lab.shop.going_on.wait()
        lab.shop.may_go_on.set()
        answered, late = await later, await died

    assert meanwhile.status_code == 409
    assert {answered.status_code, late.status_code} == {201}
    async with lab.client() as http:
        again = await http.post("/orders", json={"n": 1}, headers=keyed())
    assert again.json() == answered.json(), "the answer of the attempt that took over is the one that counts"


async def test_what_passes_is_not_kept(lab: Lab) -> None:
    """After a 5xx the same key is free, also where a request is cut off."""
    async with lab.client() as http:
        lab.shop.fails = True
        failed = await http.post("/orders", json={"n": 1}, headers=keyed())
        left = await lab.rows()
        lab.shop.fails = False
        done = await http.post("/orders", json={"n": 1}, headers=keyed())
        lab.shop.may_go_on.clear()
        lab.shop.going_on.clear()
        cut = asyncio.create_task(http.post("/orders", json={"n": 2}, headers=keyed("k2")))
        await lab.shop.going_on.wait()
        cut.cancel()
        await asyncio.wait([cut])
    assert (failed.status_code, left, done.status_code) == (503, [], 201)
    assert len(await lab.rows()) == 1


async def test_a_refusal_is_an_answer_too(file_lab: Lab) -> None:
    """A 404 is kept as it is: asking again under the same key changes nothing."""
    async with file_lab.client() as http:
        answers = [await http.post("/missing", headers=keyed()) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["code"] == answers[1].json()["code"] == "not_found"
    assert file_lab.shop.orders == ["missing"]


async def test_streams_are_not_kept(file_lab: Lab) -> None:
    """They are given as they come, and may be asked for again."""
    async with file_lab.client() as http:
        answers = [await http.post("/watch", headers=keyed()) for _ in range(2)]
    assert [answer.text.count("data:") for answer in answers] == [1, 1]
    assert await file_lab.rows() == []


@pytest.mark.parametrize("path", ["/secrets", "/large"])
async def test_secrets_and_large_answers_are_given_once(file_lab: Lab, path: str) -> None:
    """They are not written down; the second request is told that it was done, and nothing is done twice."""
    async with file_lab.client() as http:
        first = await http.post(path, headers=keyed())
        second = await http.post(path, headers=keyed())
    (row,) = await file_lab.rows()
    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_answer_not_kept")
    assert (row.status, row.body) == (200, None)
    assert file_lab.shop.orders == [path.removeprefix("/").removesuffix("s")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "one key"},
        {"Idempotency-Key": "k" * 256},
        {"Idempotency-Key": "schlüssel".encode().decode("latin-1")},
        {"Idempotency-Key": "one", "X-Idempotency-Key": "two"},
    ],
)
async def test_a_key_that_is_none_is_refused(file_lab: Lab, headers: dict[str, str]) -> None:
    """400 with what a key takes, before anything is done."""
    async with file_lab.client() as http:
        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await http.post("/orders", json={"n": 1}, headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key")
    assert file_lab.shop.orders == []


async def test_a_body_that_is_too_large_is_refused_as_ever(file_lab: Lab) -> None:
    """Also where its length is not told beforehand."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with file_lab.client() as http:
        answer = await http.post("/orders", content=chunks(), headers=keyed())
    assert (answer.status_code, answer.json()["code"]) == (400, "payload_too_large")


async def test_for_nobody_a_key_is_only_a_header(file_lab: Lab) -> None:
    """Who has not signed in is anybody, and gets nothing that another one was answered."""
    async with file_lab.client(SignIn(dev_sign_in().tokens, is_dev=False)) as http:
        answers = [await http.post("/orders", json={"n": 1}, headers={"Idempotency-Key": "k1"}) for _ in "ab"]
    assert [answer.json()["number"] for answer in answers] == [1, 2]
    assert await file_lab.rows() == []


async def test_answers_are_swept_after_a_day(lab: Lab) -> None:
    """Then the key may be used for something new, swept or not."""
    async with lab.client() as http:
        for key in ("k1", "k2"):
            await http.post("/orders", json={"n": 1}, headers=keyed(key))
        lab.clock.now += 24 * 3_600
        await http.post("/orders", json={"n": 2}, headers=keyed("k1"))
        before = len(await lab.rows())
        removed = await lab.answers.sweep()
    assert lab.shop.orders == [{"n": 1}, {"n": 1}, {"n": 2}]
    assert (before, removed, len(await lab.rows())) == (2, 1, 1)


async def test_one_callers_answers_are_not_kept_without_bound(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest bodies, so many bytes of them, and the latest keys; others' are their own matter."""
    async with lab.client() as http:
        bobs = await http.post("/orders", json={"n": 1}, headers=keyed(user="bob"))
        for number in range(5):
            lab.clock.now += 1
            await http.post("/orders", json={"n": 1}, headers=keyed(f"k{number}"))
        assert await lab.answers.sweep() == 0
        monkeypatch.setattr(answers_module, "MOST_BYTES", 2 * len(bobs.content))
        monkeypatch.setattr(answers_module, "MOST_ANSWERS", 3)
        assert await lab.answers.sweep() == 2

        statuses = {
            key: (await http.post("/orders", json={"n": 1}, headers=keyed(key))).status_code
            for key in ("k4", "k3", "k2")
        }
    kept = sorted((row.owner, row.body is not None) for row in await lab.rows())
    assert kept == [("ada", False), ("ada", True), ("ada", True), ("bob", True)]
    assert statuses == {"k4": 201, "k3": 201, "k2": 409}


async def test_the_description_tells_of_keys(file_lab: Lab) -> None:
    """By the header, and by what a POST of somebody may answer because of it."""
    async with file_lab.client() as http:
        described = (await http.get("/openapi.json")).json()
    assert described["components"]["parameters"]["Idempotency-Key"]["in"] == "header"
    posts = {path: each["post"] for path, each in described["paths"].items() if "post" in each}
    for path, post in posts.items():
        is_for_nobody = path == "/orders"
        takes_a_key = {"$ref": "#/components/parameters/Idempotency-Key"} in post.get("parameters", [])
        assert takes_a_key != is_for_nobody, path
        assert ({"409", "422"} <= post["responses"].keys()) != is_for_nobody, path

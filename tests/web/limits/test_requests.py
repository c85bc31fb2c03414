"""How many requests one caller may send, and what the answers tell of it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import Headers

from orchestrator.core.rates import Rate
from orchestrator.core.settings import LimitSettings, Settings
from orchestrator.testing import ManualClock
from orchestrator.web.application import House, create_app
from orchestrator.web.auth.access import Anyone, User
from orchestrator.web.auth.caller import SCOPE_KEY as CALLER
from orchestrator.web.auth.caller import Caller
from orchestrator.web.auth.dev import dev_sign_in
from orchestrator.web.auth.sign_in import SignIn
from orchestrator.web.feature import Feature
from orchestrator.web.limits.counting import Limit, within
from orchestrator.web.limits.memory import MemoryBuckets
from orchestrator.web.limits.requests import LimitRequests
from orchestrator.web.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.types import Message, Receive, Scope, Send

OPERATOR = "the-secret-of-the-data-directory"
LIMITS = LimitSettings(requests_per_minute=60, burst=3)
REPORTS = Limit("reports", Rate(count=2, per_s=3_600, burst=2))


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still."""
    return ManualClock()


@asynccontextmanager
async def service(
    clock: ManualClock, sign_in: SignIn | None = None, client: str = "127.0.0.1"
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A service with small limits, called from an address."""
    buckets, router = MemoryBuckets(clock), APIRouter()

    @router.get("/thing")
    async def thing(_: Anyone) -> str:
        return "thing"

    @router.post("/report", dependencies=[Depends(within(buckets, REPORTS))])
    async def report(_: User) -> str:
        return "report"

    @router.get("/stream")
    async def stream(request: Request, _: Anyone) -> Response:
        async def events() -> AsyncGenerator[tuple[str, str]]:
            for number in range(5):
                yield str(number), "{}"

        return EventStream(request, events())

    house = House(
        Settings(limits=LIMITS), sign_in=sign_in or dev_sign_in(OPERATOR), buckets=buckets, clock=clock
    )
    app = create_app(house, [Feature("room", router)])
    transport = httpx2.ASGITransport(app, client=(client, 4_711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
        yield http


class Nobody:
    """Sign-in as it is with a secret: who has no token is nobody."""

    @staticmethod
    def sign_in() -> SignIn:
        """The same as in dev mode, without its trust."""
        dev = dev_sign_in()
        return SignIn(dev.tokens, is_dev=False)


async def test_a_user_has_a_burst_and_then_the_rate(clock: ManualClock) -> None:
    """429 as a problem document with Retry-After, and after that time the next request is answered."""
    async with service(clock) as http:
        ada = {"X-User-ID": "ada"}
        burst = [await http.get("/thing", headers=ada) for _ in range(3)]
        refused = await http.get("/thing", headers=ada)
        clock.now += int(refused.headers["retry-after"])
        after = await http.get("/thing", headers=ada)

    assert [answer.status_code for answer in burst] == [200] * 3
    assert [answer.headers["ratelimit"] for answer in burst] == [f'"requests";r={r};t=1' for r in (2, 1, 0)]
    assert burst[0].headers["ratelimit-policy"] == '"requests";q=60;w=60'
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert "60 a minute, and 3 at once. Try again in 1 s." in refused.json()["detail"]
    assert (refused.headers["retry-after"], refused.headers["ratelimit"]) == ("1", '"requests";r=0;t=1')
    assert refused.headers["content-type"] == "application/problem+json"
    assert after.status_code == 200


async def test_each_user_has_limits_of_their_own(clock: ManualClock) -> None:
    """What one sends takes nothing from another."""
    async with service(clock) as http:
        statuses = {
            user: [(await http.get("/thing", headers={"X-User-ID": user})).status_code for _ in range(4)]
            for user in ("ada", "bob")
        }
    assert statuses == {"ada": [200, 200, 200, 429], "bob": [200, 200, 200, 429]}


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
    ],
)
async def test_who_has_not_signed_in_is_counted_by_address(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, one: str, other: str, *, shared: bool
) -> None:
    """Of IPv6 by its network, since whoever has one address has very many."""
    async with service(clock, Nobody.sign_in(), one) as http:
        for _ in range(3):
            assert (await http.get("/thing")).status_code == 200
        transport = http._transport
        assert isinstance(transport, httpx2.ASGITransport)
        monkeypatch.setattr(transport, "client", (other, 4_711))
        assert (await http.get("/thing")).status_code == (429 if shared else 200)


@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Bearer {OPERATOR}"}])
async def test_this_machines_user_and_the_operator_are_not_counted(
    clock: ManualClock, headers: dict[str, str]
) -> None:
    """They could only lock themselves out."""
    async with service(clock) as http:
        answers = [await http.get("/thing", headers=headers) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)


@pytest.mark.parametrize("path", ["/health", "/ready", "/docs", "/", "/openapi.json"])
async def test_probes_and_pages_of_the_docs_are_not_counted(clock: ManualClock, path: str) -> None:
    """Whoever watches the service must not be told that it is too busy for that."""
    async with service(clock) as http:
        answers = [await http.get(path, headers={"X-User-ID": "ada"}) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[-1].headers


async def test_a_route_may_have_a_limit_of_its_own(clock: ManualClock) -> None:
    """Its requests count against both, the answer tells of both, and Retry-After is of the one reached."""
    async with service(clock) as http:
        ada = {"X-User-ID": "ada"}
        made = [await http.post("/report", headers=ada) for _ in range(2)]
        refused = await http.post("/report", headers=ada)
        others = await http.post("/report", headers={"X-User-ID": "bob"})

    assert [answer.status_code for answer in made] == [200, 200]
    assert made[1].headers["ratelimit-policy"] == '"requests";q=60;w=60, "reports";q=2;w=3600'
    assert made[1].headers["ratelimit"] == '"requests";r=1;t=1, "reports";r=0;t=1800'
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1800")
    assert "the limit reports: 2 an hour." in refused.json()["detail"]
    assert others.status_code == 200


async def test_a_websocket_counts_once_and_is_refused_before_it_opens(clock: ManualClock) -> None:
    """By the answer of any other request, which servers can give in place of the handshake."""
    opened: list[str] = []
    sent: list[Message] = []

    async def inner(scope: Scope, _receive: Receive, _send: Send) -> None:
        opened.append(scope["path"])

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    limited = LimitRequests(inner, MemoryBuckets(clock), Limit("requests", Rate(60, 60, burst=2)), free=())
    for _ in range(3):
        scope: Scope = {"type": "websocket", "path": "/live", CALLER: Caller.of_user("ada"), "headers": []}
        await limited(scope, receive, send)

    assert opened == ["/live"] * 2
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 429)
    assert Headers(raw=sent[0]["headers"])["retry-after"] == "1"
    assert Headers(raw=sent[0]["headers"])["ratelimit"] == '"requests";r=0;t=1'


async def test_a_stream_counts_once_and_an_event_source_is_asked_to_come_again(clock: ManualClock) -> None:
    """However long it is; at 429 an EventSource would give up for good."""
    async with service(clock) as http:
        headers = {"X-User-ID": "ada", "Accept": "text/event-stream"}
        first = await http.get("/stream", headers=headers)
        for _ in range(2):
            await http.get("/thing", headers=headers)
        late = await http.get("/stream", headers=headers)

    assert (first.text.count("data:"), first.headers["ratelimit"]) == (5, '"requests";r=2;t=1')
    assert (late.status_code, late.text.count("data:"), "retry: " in late.text) == (200, 0, True)

"""What a POST makes under an Idempotency-Key is made once, also where nobody could write down that it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from sqlalchemy import update

from orchestrator.core.clock import utc
from orchestrator.core.errors import UnavailableError
from orchestrator.db import SYSTEM
from orchestrator.web.events import STREAM
from orchestrator.web.idempotency.answers import Answers
from orchestrator.web.idempotency.tables import IdempotencyRow
from support.days_room import INTENT
from support.running_service import running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.running_service import RunningService

FUNCTIONS = "/functions/v1/orchestrator"
ADA = {"X-User-ID": "ada"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    """A service in dev mode."""
    async with running_service(tmp_path, {"webhooks.allow_private": True}) as running:
        yield running


class Twice:
    """Posts under a key, has the answer lost as by a crash, and posts again when the lease is over."""

    def __init__(self, service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
        self._service = service
        self._monkeypatch = monkeypatch
        self.operator = {"Authorization": f"Bearer {service.operator_token}"}

    async def __call__(
        self, path: str, body: dict[str, Any], headers: dict[str, str] = ADA
    ) -> tuple[httpx2.Response, httpx2.Response]:
        """Both answers."""
        keyed = headers | {"Idempotency-Key": "key"}
        async with self.http() as http:
            with self._monkeypatch.context() as patched:
                patched.setattr(Answers, "keep", _lost)
                first = await http.post(path, json=body, headers=keyed)
            await self._let_lease_end()
            second = await http.post(path, json=body, headers=keyed)
        assert first.is_success, first.text
        assert second.status_code == first.status_code, second.text
        return first, second

    def http(self) -> httpx2.AsyncClient:
        """A client."""
        return httpx2.AsyncClient(base_url=self._service.url, timeout=30, trust_env=False)

    async def _let_lease_end(self) -> None:
        ended = update(IdempotencyRow).values(leased_until=utc(0))
        async with self._service.resources.database.session(SYSTEM) as session:
            await session.change(ended)


async def _lost(*_: object) -> None:
    raise UnavailableError("The power was cut.")


@pytest.fixture
def twice(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> Twice:
    """Posting twice."""
    return Twice(service, monkeypatch)


async def test_a_session_is_found_again(twice: Twice) -> None:
    """And its event told once."""
    first, second = await twice("/api/sessions", {"topic": "Tides"})
    async with twice.http() as http:
        listed = (await http.get("/api/sessions", headers=ADA)).json()
    assert first.json() == second.json()
    assert [each["id"] for each in listed["items"]] == [first.json()["id"]]


async def test_a_webhook_takes_the_others_place(twice: Twice) -> None:
    """With another secret: nobody was shown the first one."""
    first, second = await twice("/api/v1/webhooks", {"url": "http://127.0.0.1/hooks"})
    async with twice.http() as http:
        listed = (await http.get("/api/v1/webhooks", headers=ADA)).json()
    assert [each["id"] for each in listed["items"]] == [first.json()["id"]] == [second.json()["id"]]
    assert first.json()["secret"] != second.json()["secret"]


async def test_an_api_key_takes_the_others_place(twice: Twice) -> None:
    """The first one opens nothing any more."""
    wanted = {"name": "ci", "scopes": ["service"]}
    first, second = await twice("/api/v1/keys", wanted, twice.operator)
    async with twice.http() as http:
        listed = (await http.get("/api/v1/keys", headers=twice.operator)).json()
        opened = [
            (await http.get("/api/sessions", headers=ADA | {"X-API-Key": made.json()["key"]})).status_code
            for made in (first, second)
        ]
    assert [each["id"] for each in listed["items"]] == [first.json()["id"]] == [second.json()["id"]]
    assert opened == [401, 200]


async def test_a_broadcast_is_told_once(twice: Twice, service: RunningService) -> None:
    """Each message, by the id of its event."""
    messages = [
        {"topic": STREAM, "event": "thing_made", "payload": {"user_id": "ada", "number": number}}
        for number in range(2)
    ]
    await twice("/realtime/v1/api/broadcast", {"messages": messages}, ADA | twice.operator)
    await service.resources.outbox.relay()
    entries = await service.resources.streams().read(STREAM)
    assert len(entries) == len({entry.key for entry in entries}) == 2


async def test_a_fork_is_found_again(twice: Twice, service: RunningService) -> None:
    """The same run, under the same id."""
    async with twice.http() as http:
        await http.post(f"{FUNCTIONS}/intent.sync", json=INTENT, headers=ADA)
        await http.post(f"{FUNCTIONS}/day.run", json={}, headers=ADA)
    (run,) = await service.resources.engine().list(workflow="day", limit=2)
    body = {"from_step": "store-day"}
    first, second = await twice(f"/api/v1/runs/{run.id}/fork", body, twice.operator)
    assert first.json() == second.json()
    assert len(await service.resources.engine().list(workflow="day", limit=9)) == 2


async def test_a_plan_is_that_of_one_session(twice: Twice, service: RunningService) -> None:
    """Intent and day: each is there once, and its event is told once."""
    one, same = await twice(f"{FUNCTIONS}/intent.sync", INTENT)
    first, second = await twice(f"{FUNCTIONS}/day.run", {"week": 1, "day": 3})
    await service.resources.outbox.relay()
    told = [entry.type for entry in await service.resources.streams().read(STREAM)]
    assert one.json() == same.json()
    assert second.json() == first.json() | {"cache_hits": 4, "cache_misses": 0}
    assert told == ["intent_created", "instructor_plan_created"]

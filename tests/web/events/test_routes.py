"""Server-Sent Events: the caller's own events, live and after the last one received."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.web.events import NewEvent
from orchestrator.web.events import routes as routes_module
from support.running_service import RunningService, running_service
from support.tokens import SECRET, claims, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE_S = 30
ANN = {"X-User-ID": "ann"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    """The service, in dev mode."""
    async with running_service(tmp_path) as service:
        yield service


class Watcher:
    """Who listens; ``opened`` once the stream has begun."""

    def __init__(self, service: RunningService, headers: dict[str, str], query: str = "") -> None:
        self.opened = asyncio.Event()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self._url = f"{service.url}/api/v1/events{query}"
        self._headers = headers

    async def until(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """Listen until so many events came, or the stream ends."""
        event_id = ""
        async with (
            asyncio.timeout(PATIENCE_S),
            httpx2.AsyncClient(timeout=PATIENCE_S) as client,
            client.stream("GET", self._url, headers=self._headers) as answer,
        ):
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                self.text += f"{line}\n"
                self.opened.set()
                name, _, value = line.partition(": ")
                if name == "id":
                    event_id = value
                elif name == "data":
                    self.told.append((event_id, json.loads(value)))
                if len(self.told) == count:
                    break
        return self.told


async def test_a_caller_is_told_of_its_own_events(service: RunningService) -> None:
    """With an id by which to come back, the type inside the JSON, and nothing of others."""
    watcher = Watcher(service, ANN)
    watching = asyncio.create_task(watcher.until(2))
    await watcher.opened.wait()
    made = [NewEvent("thing_made", owner, {"owner_was": owner}) for owner in ("ann", "bob", "ann")]
    await service.tell(*made)

    (first_id, first), (_, second) = await watching
    assert first_id == "1"
    assert set(first) == {"id", "type", "at", "data"}
    assert (first["id"], first["type"], first["data"]) == (made[0].id, "thing_made", {"owner_was": "ann"})
    assert first["at"].endswith("Z")
    assert second["id"] == made[2].id
    assert "event:" not in watcher.text
    assert watcher.text.startswith("retry: 2000")


async def test_who_reconnects_gets_what_it_missed(service: RunningService) -> None:
    """After the id of its last event."""
    await service.tell(*[NewEvent("thing_made", "ann", {"number": number}) for number in range(3)])
    all_of_them = await Watcher(service, ANN | {"Last-Event-ID": "0"}).until(3)
    rest = await Watcher(service, ANN | {"Last-Event-ID": all_of_them[0][0]}).until(2)
    assert [told["data"]["number"] for _, told in rest] == [1, 2]


async def test_a_page_listens_by_a_token_in_the_address(service: RunningService) -> None:
    """Since its EventSource sends no header; the token is good for this address alone."""
    await service.tell(NewEvent("thing_made", "ann", {"number": 1}))
    async with httpx2.AsyncClient(base_url=service.url) as client:
        made = (await client.post("/api/v1/events/stream-token", headers=ANN)).json()
        assert set(made) == {"token", "expires_at"}
        query = f"?token={made['token']}"
        told = await Watcher(service, {"Last-Event-ID": "0"}, query).until(1)
        assert told[0][1]["data"] == {"number": 1}
        assert (await client.get(f"/api/v1/events{query}x")).status_code == 401


@pytest.mark.parametrize("wrong", ["-1", "one", "1" * 30])
async def test_an_id_that_none_of_ours_is_gets_what_comes(service: RunningService, wrong: str) -> None:
    """An EventSource sends whatever it last got, from whomever; an error would end it for good."""
    watcher = Watcher(service, ANN | {"Last-Event-ID": wrong})
    watching = asyncio.create_task(watcher.until(1))
    await watcher.opened.wait()
    await service.tell(NewEvent("thing_made", "ann", {"number": 7}))
    assert [told["data"]["number"] for _, told in await watching] == [7]


async def test_a_closing_service_ends_the_stream(service: RunningService) -> None:
    """Well-formed and at once, so that the client comes back elsewhere."""
    watcher = Watcher(service, ANN)
    watching = asyncio.create_task(watcher.until(1))
    await watcher.opened.wait()
    service.server.stop()
    assert await watching == []


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the next event: whoever still listens has to come again, and is refused."""
    monkeypatch.setattr(routes_module, "LOOKED_AFTER_EVERY_S", 0.0)
    as_admin = {"Authorization": f"Bearer {_admin()}"}
    async with (
        running_service(tmp_path, {"auth.jwt_secret": SECRET}) as service,
        httpx2.AsyncClient(base_url=service.url, headers=as_admin) as http,
    ):
        wanted = {"name": "ears", "scopes": ["events"], "user": "ann"}
        key = (await http.post("/api/v1/keys", json=wanted)).json()
        watcher = Watcher(service, {"X-API-Key": key["key"]})
        watching = asyncio.create_task(watcher.until(2))
        await watcher.opened.wait()
        await service.tell(NewEvent("thing_made", "ann", {"number": 1}))
        assert (await http.delete(f"/api/v1/keys/{key['id']}")).status_code == 200
        await service.tell(NewEvent("thing_made", "ann", {"number": 2}))
        told = await watching
    assert [event["data"] for _, event in told] == [{"number": 1}]


async def test_a_stream_that_a_token_in_its_address_opened_goes_on(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a token is good for minutes, and a stream is for hours."""
    monkeypatch.setattr(routes_module, "LOOKED_AFTER_EVERY_S", 0.0)
    async with httpx2.AsyncClient(base_url=service.url) as http:
        token = (await http.post("/api/v1/events/stream-token", headers=ANN)).json()["token"]
    watcher = Watcher(service, {}, f"?token={token}")
    watching = asyncio.create_task(watcher.until(2))
    await watcher.opened.wait()
    await service.tell(*[NewEvent("thing_made", "ann", {"number": number}) for number in (1, 2)])
    assert [event["data"] for _, event in await watching] == [{"number": 1}, {"number": 2}]


async def test_a_wrong_token_in_an_address_is_on_the_audit_trail(tmp_path: Path) -> None:
    """As one in a header is."""
    async with (
        running_service(tmp_path, {"auth.jwt_secret": SECRET}) as service,
        httpx2.AsyncClient(base_url=service.url) as http,
    ):
        assert (await http.get("/api/v1/events?token=made.up.token")).status_code == 401
        as_admin = {"Authorization": f"Bearer {_admin()}"}
        found = await http.get("/api/v1/audit", params={"action": "sign_in.refused"}, headers=as_admin)
    assert [entry["subject"] for entry in found.json()["items"]] == ["token_invalid"]


def _admin() -> str:
    return signed(claims("root", exp=time.time() + 3_600, app_metadata={"role": "admin"}))

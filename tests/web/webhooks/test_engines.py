"""To a receiver a delivery is the same on both engines: tried again through restarts, given up in the end."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.web.events import NewEvent
from orchestrator.web.webhooks import workflow
from support.receiver import Receiver
from support.redis_server import own_redis_server
from support.running_service import PATIENCE_S, running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.running_service import RunningService

WEBHOOKS = "/api/v1/webhooks"
ADA = {"X-User-ID": "ada"}
LOOK_AGAIN_S = 0.02
SOON = (0.2,) * 50


@pytest.fixture(
    params=["embedded", pytest.param("temporal", marks=[pytest.mark.temporal, pytest.mark.redis])]
)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, object]]:
    """All in one process; and runs on Temporal, with streams in Redis."""
    ours: dict[str, object] = {"webhooks.allow_private": True, "server.shutdown_timeout_s": 0.5}
    if request.param == "embedded":
        yield ours
        return
    with own_redis_server(tmp_path / "redis") as redis:
        yield ours | {
            "engine": "temporal",
            "temporal.host_port": request.getfixturevalue("temporal_server").address,
            "temporal.task_queue": str(uuid.uuid4()),
            "redis.url": redis.url,
        }


@asynccontextmanager
async def life(
    folder: Path, settings: dict[str, object]
) -> AsyncIterator[tuple[RunningService, httpx2.AsyncClient]]:
    """One life of the service, and a client of it."""
    async with (
        running_service(folder, settings) as service,
        httpx2.AsyncClient(base_url=service.url, timeout=PATIENCE_S, trust_env=False, headers=ADA) as http,
    ):
        yield service, http


async def settled(http: httpx2.AsyncClient, path: str, count: int) -> list[dict[str, Any]]:
    """So many deliveries to a webhook, newest first, once none is under way."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            shown: list[dict[str, Any]] = (await http.get(f"{path}/deliveries")).json()["items"]
            if len(shown) == count and all(each["state"] != "pending" for each in shown):
                return shown
            await asyncio.sleep(LOOK_AGAIN_S)


async def test_deliveries_go_on_in_the_next_life(
    tmp_path: Path, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same message under the same id until it is taken, again when its owner asks; then one in vain."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workflow, "PAUSES_S", SOON)
    event = NewEvent("thing_made", "ada", {"number": 1})
    async with Receiver(500).listening() as receiver:
        async with life(tmp_path, settings) as (service, http):
            created = (await http.post(WEBHOOKS, json={"url": receiver.url})).json()
            path = f"{WEBHOOKS}/{created['id']}"
            await service.tell(event)
            await receiver.until(2)
        receiver.statuses = [204]
        async with life(tmp_path, settings) as (service, http):
            (shown,) = await settled(http, path, 1)
            assert (await http.post(f"{path}/deliveries/{shown['id']}/redeliver")).status_code == 202
            (again,) = await settled(http, path, 1)
            taken = list(receiver.received)

            monkeypatch.setattr(workflow, "PAUSES_S", SOON[:1])
            receiver.statuses = [500]
            await service.tell(NewEvent("thing_made", "ada", {"number": 2}))
            failed, _ = await settled(http, path, 2)
            disabled = (await http.get(path)).json()
            await service.tell(NewEvent("thing_made", "ada", {"number": 3}))

    statuses = [attempt["status"] for attempt in shown["attempts"]]
    assert statuses == [500] * (len(statuses) - 1) + [204]
    assert [attempt["status"] for attempt in again["attempts"]] == [*statuses, 204]
    assert {received.headers["webhook-id"] for received in taken} == {event.id}
    assert len({received.body for received in taken}) == 1
    assert (failed["state"], [attempt["status"] for attempt in failed["attempts"]]) == ("failed", [500, 500])
    assert disabled["disabled_because"] == "nothing has come through for more than a day"
    assert [received.json["data"]["number"] for received in receiver.received[len(taken) :]] == [2, 2]

"""The routes of webhooks: shapes and statuses, each owner's own, and no private address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import pytest_asyncio

from orchestrator.web.events import NewEvent
from orchestrator.web.webhooks import service as service_module
from support.receiver import Receiver
from support.running_service import RunningService, running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WEBHOOKS = "/api/v1/webhooks"
HOOK = "https://example.org/hooks"
NOBODYS = "019aa111-0000-7000-8000-000000000000"

# All of these tests talk to one service, on its loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningService]:
    """The service, in dev mode; webhooks may go to this machine."""
    async with running_service(
        tmp_path_factory.mktemp("service"), {"webhooks.allow_private": True}
    ) as service:
        yield service


async def asked(service: RunningService, user: str, method: str, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401  # JSON
    """What the service answers a user."""
    async with httpx2.AsyncClient(base_url=service.url, headers={"X-User-ID": user}) as client:
        return await client.request(method, f"{WEBHOOKS}{path}", **more)


async def made(service: RunningService, user: str, url: str = HOOK) -> dict[str, Any]:
    """A new webhook of theirs."""
    answer = await asked(service, user, "POST", "", json={"url": url, "types": ["thing.made"]})
    assert answer.status_code == 201
    created: dict[str, Any] = answer.json()
    return created


async def test_a_webhook_from_creation_to_deletion(service: RunningService) -> None:
    """The secret is shown once, and never again."""
    created = await made(service, "cleo")
    secret = created.pop("secret")
    assert secret.startswith("whsec_")
    assert set(created) == {"id", "url", "types", "enabled", "disabled_because", "created_at"}
    path = f"/{created['id']}"
    assert (await asked(service, "cleo", "GET", "")).json() == {"items": [created]}
    assert (await asked(service, "cleo", "GET", path)).json() == created

    disabled = (await asked(service, "cleo", "POST", f"{path}/disable")).json()
    assert (disabled["enabled"], disabled["disabled_because"]) == (False, "its owner disabled it")
    assert (await asked(service, "cleo", "POST", f"{path}/enable")).json() == created
    rotated = (await asked(service, "cleo", "POST", f"{path}/rotate-secret")).json()
    assert set(rotated) == {"secret"}
    assert rotated["secret"] != secret

    assert (await asked(service, "cleo", "DELETE", path)).status_code == 204
    assert (await asked(service, "cleo", "GET", path)).status_code == 404
    assert (await asked(service, "cleo", "GET", "")).json() == {"items": []}


async def test_nobody_touches_anothers_webhook(service: RunningService) -> None:
    """It is not there for them, whatever they try."""
    path = f"/{(await made(service, 'ann'))['id']}"
    tries = [
        ("GET", path),
        ("DELETE", path),
        ("POST", f"{path}/enable"),
        ("POST", f"{path}/disable"),
        ("POST", f"{path}/rotate-secret"),
        ("GET", f"{path}/deliveries"),
        ("POST", f"{path}/deliveries/{NOBODYS}/redeliver"),
    ]
    for method, there in tries:
        assert (await asked(service, "bob", method, there)).status_code == 404
    assert (await asked(service, "ann", "GET", path)).json()["enabled"]


async def test_what_was_sent_is_listed_in_pages_and_sent_again(service: RunningService) -> None:
    """With what was answered at each attempt; under way or elsewhere it is not sent again."""
    async with Receiver().listening() as receiver:
        path = f"/{(await made(service, 'dora', receiver.url))['id']}"
        for number in range(3):
            await service.tell(NewEvent("thing.made", "dora", {"number": number}))
            await receiver.until(number + 1)
        page = (await asked(service, "dora", "GET", f"{path}/deliveries?limit=2")).json()
        older = (await asked(service, "dora", "GET", f"{path}/deliveries?before={page['next']}")).json()
        assert [item["data"]["number"] for item in page["items"] + older["items"]] == [2, 1, 0]
        assert older["next"] is None
        oldest = older["items"][0]
        assert oldest["state"] == "delivered"
        assert [attempt["status"] for attempt in oldest["attempts"]] == [204]

        again = f"{path}/deliveries/{oldest['id']}/redeliver"
        answer = await asked(service, "dora", "POST", again)
        assert (answer.status_code, answer.content) == (202, b"")
        assert (await receiver.until(4))[3].headers["webhook-id"] == oldest["event_id"]
        elsewhere = f"{path}/deliveries/{NOBODYS}/redeliver"
        assert (await asked(service, "dora", "POST", elsewhere)).json()["code"] == "delivery_not_found"
        await asked(service, "dora", "POST", f"{path}/disable")
        assert (await asked(service, "dora", "POST", again)).json()["code"] == "webhook_disabled"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": "ftp://example.org"},
        {"url": HOOK, "types": ["Not a type"]},
        {"url": HOOK, "types": ["a"] * 51},
        {"url": HOOK, "secret": "mine"},
    ],
)
async def test_a_wrong_webhook_is_refused(service: RunningService, body: dict[str, Any]) -> None:
    """400, with a sentence."""
    answer = await asked(service, "ann", "POST", "", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("bogus", "There is no event 'bogus'. There are: instructor_plan_completed,"),
        ("lesson_complete", "There is no event 'lesson_complete'. Did you mean lesson_completed?"),
        ("thing_made", "have a dot in their names, such as billing.paid."),
    ],
)
async def test_an_event_that_nobody_tells_is_refused(service: RunningService, wanted: str, says: str) -> None:
    """With the names of those that there are; one that is misspelt would else bring nothing for ever."""
    answer = await asked(service, "ann", "POST", "", json={"url": HOOK, "types": ["lesson_failed", wanted]})
    assert (answer.status_code, answer.json()["code"]) == (400, "event_unknown")
    assert says in answer.json()["error"]


async def test_every_event_of_the_guide_can_be_chosen(service: RunningService) -> None:
    """And of other services whatever has a dot in its name."""
    guide = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    types = re.findall(r"^\| `([a-z_]+)` \|", guide, re.MULTILINE)
    assert len(types) == 9
    body = {"url": HOOK, "types": [*types, "billing.paid"]}
    assert (await asked(service, "eve", "POST", "", json=body)).status_code == 201


async def test_nobody_has_webhooks_without_bound(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would be a message for every event."""
    monkeypatch.setattr(service_module, "MOST_EACH", 1)
    await made(service, "many")
    answer = await asked(service, "many", "POST", "", json={"url": HOOK})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")


async def test_private_addresses_are_refused_unless_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a service is set by default: told when it is named, and refused again when something is sent."""
    async with (
        Receiver().listening() as receiver,
        running_service(tmp_path_factory.mktemp("guarded")) as guarded,
    ):
        named = await asked(guarded, "ann", "POST", "", json={"url": receiver.url})
        assert (named.status_code, named.json()["code"]) == (400, "address_refused")
        path = f"/{(await made(guarded, 'ann', receiver.url.replace('127.0.0.1', 'localhost')))['id']}"
        await guarded.tell(NewEvent("thing.made", "ann", {}))
        attempts: list[dict[str, Any]] = []
        for _ in range(500):
            items = (await asked(guarded, "ann", "GET", f"{path}/deliveries")).json()["items"]
            attempts = items[0]["attempts"] if items else []
            if attempts:
                break
        assert attempts[0]["status"] is None
        assert attempts[0]["reason"].startswith("The address is private")
        assert "webhooks.allow_private (ORCHESTRATOR_WEBHOOKS_ALLOW_PRIVATE=true)." in attempts[0]["reason"]
        assert receiver.received == []


async def test_the_trace_of_a_request_goes_on_in_its_events(service: RunningService) -> None:
    """W3C Trace Context from the client, by the event, to whoever receives it."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with Receiver().listening() as receiver:
        created = await asked(service, "iris", "POST", "", json={"url": receiver.url})
        assert created.status_code == 201
        async with httpx2.AsyncClient(base_url=service.url, headers={"X-User-ID": "iris"}) as client:
            traced = {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
            await client.post("/api/sessions", json={"topic": "Tides"}, headers=traced)
        (received,) = await receiver.until(1)
    assert received.headers["traceparent"].split("-")[1] == trace_id

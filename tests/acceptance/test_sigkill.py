"""The service killed at the places where a kill hurts most: what was promised is kept, and done once.

Real processes that end by SIGKILL just before or just after some work, and come back on what they left.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.app.data_dir import TABLES_FILE
from support.days_room import INTENT
from support.mortal import Forking, Mortal, Place
from support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.tables import Tables

pytestmark = pytest.mark.acceptance

FUNCTIONS = "/functions/v1/orchestrator"
SESSIONS = "/api/sessions"
WEBHOOKS = "/api/v1/webhooks"
ADA = {"X-User-ID": "ada"}
PATIENCE_S = 60
GENEROUS = {
    "ORCHESTRATOR_LIMITS_BURST": "10000",
    "ORCHESTRATOR_LIMITS_REQUESTS_PER_MINUTE": "100000",
    "ORCHESTRATOR_LIMITS_DAY_RUNS_PER_HOUR": "10000",
    "ORCHESTRATOR_WEBHOOKS_ALLOW_PRIVATE": "true",
    "ORCHESTRATOR_DAYS_DEADLINE_S": "60",  # through many lives, or plans are made without signals
}
LONGEST_LIFE_S = 0.5
DAYS_A_WEEK = 5

STREAMS = "orchestrator.streams.embedded:EmbeddedStreams"
OUTBOX = "orchestrator.web.events.outbox:Outbox"
ANSWERS = "orchestrator.web.idempotency.answers:Answers"
AGENTS = "orchestrator.features.days.asking:AskedAgents"
DAYS = "orchestrator.features.days.repository.sessions:SessionRepository"
HOOKS = "orchestrator.web.webhooks.repository:WebhookRepository"


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    """What lives are forked from."""
    forking = Forking()
    yield forking
    forking.close()


@pytest.fixture
def mortal(tmp_path: Path, forking: Forking) -> Mortal:
    """A service that can die, without limits on its requests."""
    return Mortal(forking, tmp_path, GENEROUS)


def let_leases_end(mortal: Mortal) -> None:
    """Have the leases of keys be over: nobody can be alive who has one."""
    with closing(sqlite3.connect(mortal.data_dir / TABLES_FILE)) as tables, tables:
        tables.execute("UPDATE idempotency_keys SET leased_until = '2001-01-01 00:00:00.000000'")


@asynccontextmanager
async def life(mortal: Mortal, dies: Place | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of one life."""
    async with (
        mortal.life(dies),
        httpx2.AsyncClient(base_url=mortal.url, timeout=PATIENCE_S, trust_env=False, headers=ADA) as http,
    ):
        yield http


async def asked(http: httpx2.AsyncClient, path: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
    """The answer of a POST."""
    answer = await http.post(path, json=body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def last_words(mortal: Mortal, http: httpx2.AsyncClient, path: str, key: str = "", **body: Any) -> None:  # noqa: ANN401
    """Ask for what the service dies of; the client may hear of it or not."""
    mortal.arm()
    with suppress(httpx2.TransportError):
        await http.post(path, json=body, headers={"Idempotency-Key": key} if key else {})


async def told(http: httpx2.AsyncClient, count: int) -> list[dict[str, Any]]:
    """The first so many events of the user, as soon as they are there, and those that are there besides."""
    found = []
    async with asyncio.timeout(PATIENCE_S):
        async with http.stream("GET", "/api/v1/events", headers={"Last-Event-ID": "0"}) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line.removeprefix("data: ")))
                if len(found) == count:
                    return found
    raise AssertionError("the stream has ended")


@pytest.mark.parametrize(
    "place",
    [
        Place("before", f"{STREAMS}.append_all"),
        Place("after", f"{STREAMS}.append_all"),
        Place("after", f"{OUTBOX}._forget"),
    ],
    ids=str,
)
async def test_events_are_told_once_wherever_the_relay_is_killed(mortal: Mortal, place: Place) -> None:
    """Between the commit and the stream, in the midst of relaying, and at its end; in their order."""
    async with life(mortal, place) as http:
        await last_words(mortal, http, f"{FUNCTIONS}/intent.sync", **INTENT | {"topic": "Tides"})
    async with life(mortal) as http:
        await asked(http, f"{FUNCTIONS}/intent.sync", **INTENT | {"topic": "Algae"})
        events = await told(http, 2)
    assert [event["data"]["topic"] for event in events] == ["Tides", "Algae"]


WHERE_IDEMPOTENT = [
    Place("after", f"{ANSWERS}.begin"),
    Place("before", f"{ANSWERS}.keep"),
    Place("after", f"{ANSWERS}.keep"),
]


@pytest.mark.parametrize("place", WHERE_IDEMPOTENT, ids=str)
async def test_what_is_made_under_a_key_is_made_once_through_a_kill(mortal: Mortal, place: Place) -> None:
    """Before it is made, between its commit and the answer's, and before the client has the answer."""
    async with life(mortal, place) as http:
        await last_words(mortal, http, SESSIONS, "key", topic="Tides")
    let_leases_end(mortal)
    async with life(mortal) as http:
        first, again = [
            await http.post(SESSIONS, json={"topic": "Tides"}, headers={"Idempotency-Key": "key"})
            for _ in range(2)
        ]
        listed = (await http.get(SESSIONS)).json()
        events = await told(http, 1)
    assert (first.status_code, again.status_code, again.text) == (201, 201, first.text)
    assert [session["id"] for session in listed["items"]] == [first.json()["id"]]
    assert [event["data"]["session_id"] for event in events] == [first.json()["id"]]


async def test_a_secret_that_nobody_was_shown_gives_way(mortal: Mortal) -> None:
    """A webhook that was made just before the kill is made anew in its place, and its secret shown."""
    async with life(mortal, Place("before", f"{ANSWERS}.keep")) as http:
        await last_words(mortal, http, WEBHOOKS, "key", url="http://127.0.0.1/hooks")
    let_leases_end(mortal)
    async with life(mortal) as http:
        body, key = {"url": "http://127.0.0.1/hooks"}, {"Idempotency-Key": "key"}
        first, again = [await http.post(WEBHOOKS, json=body, headers=key) for _ in range(2)]
        listed = (await http.get(WEBHOOKS)).json()
    assert (first.status_code, again.json()["code"]) == (201, "idempotency_answer_not_kept")
    assert first.json()["secret"]
    assert [webhook["id"] for webhook in listed["items"]] == [first.json()["id"]]


WHERE_A_DAY_RUNS = [
    Place("before", f"{AGENTS}.look_up"),
    Place("after", f"{AGENTS}.look_up"),
    Place("before", f"{AGENTS}.write"),
    Place("after", f"{AGENTS}.write"),
    Place("before", f"{DAYS}.store"),
    Place("after", f"{DAYS}.store"),
    Place("after", "orchestrator.features.days.service:DayService.run_day"),
]


@pytest.mark.parametrize("place", WHERE_A_DAY_RUNS, ids=str)
async def test_a_days_run_goes_on_wherever_it_is_killed(mortal: Mortal, place: Place) -> None:
    """By itself after the restart: one session, which asking again gives, and each event once."""
    async with life(mortal, place) as http:
        await asked(http, f"{FUNCTIONS}/intent.sync", **INTENT)
        await last_words(mortal, http, f"{FUNCTIONS}/day.run", week=1, day=3)
    async with life(mortal) as http:
        await told(http, 2)
        kept = (await http.get(f"{FUNCTIONS}/status")).json()
        again = await asked(http, f"{FUNCTIONS}/day.run", week=1, day=3)
        done = {"session_id": again["session_id"], "completion_time_min": 45, "confidence": 7}
        await asked(http, f"{FUNCTIONS}/day.done", **done)
        events = await told(http, 3)
        status = (await http.get(f"{FUNCTIONS}/status")).json()
    assert kept["latest_session"]["id"] == again["session_id"]
    assert (again["cache_hits"], again["degraded_mode"]) == (4, False)
    assert [event["type"] for event in events] == [
        "intent_created",
        "instructor_plan_created",
        "instructor_plan_completed",
    ]
    assert status["learning_stats"]["total_sessions"] == 1


WHERE_A_WEBHOOK_IS_SENT = [
    Place("after", f"{HOOKS}.delivery_of"),
    Place("before", "orchestrator.streams.groups:EmbeddedGroup.ack"),
    Place("before", "orchestrator.web.outbound:Outbound.post"),
    Place("after", "orchestrator.web.outbound:Outbound.post"),
    Place("after", f"{HOOKS}.tried"),
]


@pytest.mark.parametrize("place", WHERE_A_WEBHOOK_IS_SENT, ids=str)
async def test_a_webhook_is_delivered_wherever_its_sender_is_killed(mortal: Mortal, place: Place) -> None:
    """Twice only where nobody can know that it was sent, and then under the same id; the log says so."""
    async with Receiver().listening() as receiver:
        async with life(mortal, place) as http:
            webhook = await asked(http, WEBHOOKS, url=receiver.url)
            await last_words(mortal, http, f"{FUNCTIONS}/intent.sync", **INTENT)
        async with life(mortal) as http:
            (event,) = await told(http, 1)
            shown = await delivered(http, webhook["id"])
    times = 2 if place.function.endswith("Outbound.post") and place.when == "after" else 1
    assert [received.headers["webhook-id"] for received in receiver.received] == [event["id"]] * times
    assert len({received.body for received in receiver.received}) == 1
    assert (shown["event_id"], [each["status"] for each in shown["attempts"]]) == (event["id"], [204])


async def delivered(http: httpx2.AsyncClient, webhook_id: str) -> dict[str, Any]:
    """The only delivery to the webhook, once it came through."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            (shown,) = (await http.get(f"{WEBHOOKS}/{webhook_id}/deliveries")).json()["items"]
            if shown["state"] == "delivered":
                found: dict[str, Any] = shown
                return found
            await asyncio.sleep(0.02)


class Diligent:
    """Somebody who does one day after the other, and asks again whatever got no answer."""

    def __init__(self) -> None:
        self.planned: dict[tuple[int, int], str] = {}
        self.done: list[str] = []

    async def learn(self, http: httpx2.AsyncClient) -> None:
        """Go on until the service is gone."""
        with suppress(httpx2.TransportError):
            await asked(http, f"{FUNCTIONS}/intent.sync", **INTENT)
            while True:
                await self.learn_a_day(http)

    async def learn_a_day(self, http: httpx2.AsyncClient) -> None:
        """Have the next day planned, and do it."""
        week, day = divmod(len(self.done), DAYS_A_WEEK)
        place = (week + 1, day + 1)
        planned = await asked(http, f"{FUNCTIONS}/day.run", week=week + 1, day=day + 1)
        assert self.planned.setdefault(place, planned["session_id"]) == planned["session_id"]
        done = {"session_id": planned["session_id"], "completion_time_min": 45, "confidence": 7}
        await asked(http, f"{FUNCTIONS}/day.done", **done)
        self.done.append(planned["session_id"])


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_hundred_kills_at_any_moment_lose_no_day(
    forking: Forking, tmp_path: Path, tables: Tables
) -> None:
    """Whatever was answered stays so: each day one session, done once, and each event told once."""
    mortal = Mortal(forking, tmp_path, GENEROUS | tables.variables)
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed of the moments: {seed}")  # noqa: T201  # pytest shows it when the test fails
    moments, learner = random.Random(seed), Diligent()  # noqa: S311  # chooses moments, keeps no secret
    for _ in range(100):
        async with life(mortal) as http:
            learning = asyncio.create_task(learner.learn(http))
            await asyncio.wait([learning], timeout=moments.uniform(0, LONGEST_LIFE_S))
        await learning
    async with life(mortal) as http:
        await asked(http, f"{FUNCTIONS}/intent.sync", **INTENT)
        await learner.learn_a_day(http)
        events = await told(http, 1 + 2 * len(learner.done))
        status = (await http.get(f"{FUNCTIONS}/status")).json()
    assert len(learner.done) == len(set(learner.done)) == status["learning_stats"]["completed_sessions"]
    assert status["learning_stats"]["total_sessions"] == len(learner.done)
    assert len({event["id"] for event in events}) == len(events)
    for kind in ("instructor_plan_created", "instructor_plan_completed"):
        of_kind = [event["data"]["session_id"] for event in events if event["type"] == kind]
        assert of_kind == learner.done

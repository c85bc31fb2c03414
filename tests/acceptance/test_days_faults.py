"""Days on a cluster, whatever part of it goes away for a while: the same plans as in one process, told once.

Real processes on real servers: an API that does no work itself, and a worker that answers nobody.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from support.cluster import running_cluster
from support.days_room import INTENT
from support.fake_agents import FakeAgents, fake_agents
from support.receiver import Receiver
from support.running_service import running_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.cluster import Cluster

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.temporal,
    pytest.mark.redis,
    pytest.mark.postgres,
    pytest.mark.timeout(300),
]

FUNCTIONS = "/functions/v1/orchestrator"
WEBHOOKS = "/api/v1/webhooks"
AGENTS = ("clo", "alex", "ta", "socratic")
TOLD = ["instructor_plan_created", "intent_created"]
MISSES = {"cache_hits": 0, "cache_misses": len(AGENTS)}
PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.02
OUTAGE_S = 1.0

few_or_many = pytest.mark.parametrize(
    "how_many", [3, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)


@pytest.fixture(scope="module")
def agents() -> Iterator[FakeAgents]:
    """Agents elsewhere."""
    with fake_agents() as agents:
        yield agents


@pytest.fixture(scope="module")
def settings(agents: FakeAgents) -> dict[str, str]:
    """What every process is told: how long a day may take on a machine that does much else, and who asks."""
    return {
        "ORCHESTRATOR_DAYS_EDGE_BASE_URL": agents.address,
        "ORCHESTRATOR_AUTH_EDGE_SERVICE_JWT": "service-token-of-agents-elsewhere",
        "ORCHESTRATOR_DAYS_RESEARCH_DEADLINE_S": "60",  # a cluster has a model
        "ORCHESTRATOR_SERVER_REQUEST_TIMEOUT_S": "120",
        "ORCHESTRATOR_LIMITS_BURST": "10000",
        "ORCHESTRATOR_WEBHOOKS_ALLOW_PRIVATE": "true",
    }


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[Cluster]:
    """An API process and a worker, with the servers that they need."""
    folder = tmp_path_factory.mktemp("cluster")
    with running_cluster(folder, apis=1, workers=1, changes=settings) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster, agents: FakeAgents) -> Cluster:
    """The cluster, whole again after what the test before did to it."""
    agents.held = frozenset()
    shared_cluster.mend()
    return shared_cluster


@pytest.fixture
async def alone(agents: FakeAgents, tmp_path: Path) -> dict[str, Any]:
    """What somebody is answered whose day is planned in one process, where nothing goes wrong."""
    settings = {
        "days.edge_base_url": agents.address,
        "auth.edge_service_jwt": "service-token-of-agents-elsewhere",
    }
    async with (
        running_service(tmp_path, settings) as service,
        httpx2.AsyncClient(base_url=service.url, timeout=PATIENCE_S, trust_env=False) as http,
    ):
        learner = Learner(http)
        await learner.asked("intent.sync", **INTENT)
        return await learner.ran()


@dataclass(frozen=True, slots=True)
class Learner:
    """Somebody with a day to plan, whose events go to a receiver of webhooks."""

    http: httpx2.AsyncClient
    name: str = field(default_factory=lambda: str(uuid.uuid4()))

    async def asked(self, function: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        """What a function answers."""
        return await self.posted(f"{FUNCTIONS}/{function}", **body)

    async def posted(self, path: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401  # JSON
        """What a POST answers."""
        answer = await self.http.post(path, json=body, headers={"X-User-ID": self.name})
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def ran(self) -> dict[str, Any]:
        """The day's plan, without the id of its session."""
        answer = await self.asked("day.run", week=1, day=2)
        return {name: value for name, value in answer.items() if name != "session_id"}

    async def check(self, planned: dict[str, Any]) -> None:
        """One session and each event once, and all signals found again."""
        again = await self.asked("day.run", week=1, day=2)
        status = await self.asked("status")
        session_id = again.pop("session_id")
        assert again == planned | {"cache_hits": 4, "cache_misses": 0}
        assert status["latest_session"]["id"] == session_id
        assert status["learning_stats"]["total_sessions"] == 1
        assert await self.told() == TOLD

    async def told(self) -> list[str]:
        """The types of what was sent by the webhook, once there is enough and all of it came through."""
        me = {"X-User-ID": self.name}
        (webhook,) = (await self.http.get(WEBHOOKS, headers=me)).json()["items"]
        async with asyncio.timeout(PATIENCE_S):
            while True:
                shown = await self.http.get(f"{WEBHOOKS}/{webhook['id']}/deliveries", headers=me)
                sent = shown.json()["items"]
                if len(sent) >= len(TOLD) and all(each["state"] == "delivered" for each in sent):
                    return [each["type"] for each in sent]
                await asyncio.sleep(LOOK_AGAIN_S)


@asynccontextmanager
async def learners(cluster: Cluster, how_many: int, receiver: Receiver) -> AsyncIterator[list[Learner]]:
    """So many, each with an intent and a webhook."""
    address = cluster.addresses[0]
    async with httpx2.AsyncClient(base_url=address, timeout=PATIENCE_S, trust_env=False) as http:
        found = [Learner(http) for _ in range(how_many)]
        for learner in found:
            await learner.posted(WEBHOOKS, url=receiver.url)
            await learner.asked("intent.sync", **INTENT)
        yield found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Where everybody's events go."""
    async with Receiver().listening() as receiver:
        yield receiver


@dataclass(frozen=True, slots=True)
class Place:
    """The cluster, who answers it, and what it should come to."""

    cluster: Cluster
    agents: FakeAgents
    receiver: Receiver
    alone: dict[str, Any]


@pytest.fixture
def place(cluster: Cluster, agents: FakeAgents, receiver: Receiver, alone: dict[str, Any]) -> Place:
    """All of it, well."""
    return Place(cluster, agents, receiver, alone)


@asynccontextmanager
async def days_under_way(
    place: Place, how_many: int, *held: str
) -> AsyncIterator[list[asyncio.Task[dict[str, Any]]]]:
    """So many days are being planned, and those agents ``held`` have been asked for all; gives the answers.

    At the end of the block the agents answer; all days come out as ``alone``, as if nothing had happened. But
    a look at an agent whose outcome was lost is made again, and finds in the cache what the first one heard.
    """
    agents = place.agents
    async with learners(place.cluster, how_many, place.receiver) as found:
        before = Counter(agents.asked)
        agents.held = frozenset(held)
        running = [asyncio.create_task(learner.ran()) for learner in found]
        async with asyncio.timeout(PATIENCE_S):
            for agent in held:
                while agents.asked[agent] < before[agent] + how_many:  # noqa: ASYNC110  # on a thread
                    await asyncio.sleep(LOOK_AGAIN_S)
        yield running
        agents.held = frozenset()
        for planned in await asyncio.gather(*running):
            assert planned["cache_hits"] + planned["cache_misses"] == len(AGENTS)
            assert planned | MISSES == place.alone
        for learner in found:
            await learner.check(place.alone)


@few_or_many
async def test_a_worker_that_is_killed_loses_no_day(place: Place, how_many: int) -> None:
    """In the midst of the instructor's work and of webhooks: nobody else is asked again."""
    (worker,) = place.cluster.workers
    place.receiver.refuses_first = True
    asked = Counter(place.agents.asked)
    async with days_under_way(place, how_many, "instructor"):
        await place.receiver.until(how_many)
        await asyncio.to_thread(worker.kill)
        worker.launch()
    asked = Counter(place.agents.asked) - asked
    assert [asked[agent] for agent in AGENTS] == [how_many] * len(AGENTS)


@few_or_many
async def test_temporal_that_is_away_for_a_while_loses_no_day(place: Place, how_many: int) -> None:
    """Stopped in order, while agents answer whose outcome nobody can take."""
    async with days_under_way(place, how_many, *AGENTS):
        await asyncio.to_thread(place.cluster.temporal.stop)
        place.agents.held = frozenset()
        await asyncio.sleep(OUTAGE_S)  # the outage itself
        await asyncio.to_thread(place.cluster.temporal.start)


@few_or_many
async def test_redis_that_is_away_keeps_nobody_waiting(place: Place, how_many: int) -> None:
    """Killed: days are answered meanwhile, and what happened is told when it is back."""
    async with days_under_way(place, how_many, *AGENTS) as running:
        await asyncio.to_thread(place.cluster.redis.kill)
        place.agents.held = frozenset()
        await asyncio.wait(running)
        await asyncio.to_thread(place.cluster.redis.start)

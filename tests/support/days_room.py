"""The days room on real tables and a real engine, with agents that answer as a test tells them to."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import httpx2
from pydantic import SecretStr
from sqlalchemy import select

from orchestrator import EmbeddedEngine
from orchestrator.agents.remote import AgentClient, Signals
from orchestrator.core.clock import utc
from orchestrator.core.pacing import Pace
from orchestrator.core.telemetry import Metrics
from orchestrator.db import SYSTEM
from orchestrator.durable.runs import Status as RunStatus
from orchestrator.features.days.asking import ENDPOINTS, PROXY, AskedAgents
from orchestrator.features.days.day import AGENTS, INSTRUCTOR
from orchestrator.features.days.deadlines import Deadlines
from orchestrator.features.days.morning import Morning
from orchestrator.features.days.repository import (
    IntentRepository,
    OverviewRepository,
    SessionRepository,
    SignalTable,
)
from orchestrator.features.days.schemas import DayDone, DayRun, IntentSync
from orchestrator.features.days.service import DayService
from orchestrator.features.days.steps import DaySteps
from orchestrator.features.days.storing import Storing
from orchestrator.features.days.workflow import day, prepare_days
from orchestrator.testing import ManualClock
from orchestrator.web.events import Outbox
from orchestrator.web.events.tables import OutboxRow
from support.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from orchestrator.features.days.schemas import DayCompleted, DayPlanned, IntentSynced, LearningStatus

OWNER: Final = "ada"
# 10:00 in New York.
START: Final = datetime(2025, 1, 19, 15, tzinfo=UTC)
LIMIT_S: Final = 12.0
PATIENCE_S: Final = 30.0
INTENT: Final[dict[str, Any]] = {
    "topic": "Machine Learning",
    "depth": "informed",
    "end_goal": "Build production ML models",
    "time_per_day_min": 60,
    "user_tz": "America/New_York",
    "meta": {"learning_style": "project-first", "hardware_specs": "M4 Mac Mini 24GB"},
}
PLAN: Final[dict[str, Any]] = {
    "plan_md": "# Daily Learning Plan\n\n## Today's Focus: Neural Network Fundamentals",
    "plan_json": {
        "title": "Neural Network Fundamentals",
        "description": "Deep dive into neural network architecture",
        "steps": ["Review basics", "Implement simple NN", "Test with data"],
    },
}


class ScriptedAgents:
    """The four agents and the instructor, as an HTTP transport.

    ``said`` is what each says, ``refuses`` gives the status of those that fail for good, and those in
    ``hang`` take the request and say nothing.
    """

    def __init__(self) -> None:
        self.said: dict[str, Any] = {agent: {"from": agent} for agent in AGENTS} | {INSTRUCTOR: PLAN}
        self.refuses: dict[str, int] = {}
        self.hang: set[str] = set()
        self.asked: list[tuple[str, httpx2.Request]] = []
        self.transport = httpx2.MockTransport(self._answer)

    def times_asked(self, agent: str) -> int:
        """How many requests came to it."""
        return sum(name == agent for name, _ in self.asked)

    def last_asked(self, agent: str) -> httpx2.Request:
        """The last request that came to it."""
        return next(request for name, request in reversed(self.asked) if name == agent)

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        agent = request.url.path.removeprefix(f"{PROXY}/").partition("/")[0]
        self.asked.append((agent, request))
        if agent in self.hang:
            await asyncio.Event().wait()
        if agent in self.refuses:
            body = json.dumps({"ok": False, "error": "no", "code": "AGENT_ERROR"}).encode()
            return httpx2.Response(self.refuses[agent], stream=httpx2.ByteStream(body))
        body = json.dumps({"ok": True, "data": self.said[agent]}).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == etag:
            return httpx2.Response(304, headers={"ETag": etag}, stream=httpx2.ByteStream(b""))
        return httpx2.Response(200, headers={"ETag": etag}, stream=httpx2.ByteStream(body))


class DaysRoom:
    """One life of the room; enter another on the same tables and folder for the next life."""

    def __init__(
        self,
        folder: Path,
        tables: Tables | None = None,
        agents: ScriptedAgents | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock = clock or ManualClock(START.timestamp())
        self.database = (tables or Tables(folder / "tables.db")).database()
        self.agents = agents or ScriptedAgents()
        self.metrics = Metrics()
        outbox = Outbox(self.database, _no_streams, self.clock)
        self._client = AgentClient(
            "http://agents.localhost",
            SecretStr("service-token"),
            clock=self.clock,
            metrics=self.metrics,
            transport=self.agents.transport,
        )
        self._signals = Signals(
            self._client, SignalTable(self.database), ENDPOINTS, clock=self.clock, metrics=self.metrics
        )
        self.intents = IntentRepository(self.database, outbox)
        self.sessions = SessionRepository(self.database, outbox)
        self.deadlines = Deadlines(LIMIT_S)
        asked = AskedAgents(self._client, self._signals)
        morning = Morning(self.intents, lambda: self.engine, self.deadlines, self.clock)
        storing = Storing(self.sessions, self.clock)
        steps = DaySteps(asked, storing, morning)
        self.engine = EmbeddedEngine(
            folder / "journal.db", workflows=[day, prepare_days], steps=[steps], clock=self.clock
        )
        self.service = DayService(
            self.intents,
            self.sessions,
            storing,
            OverviewRepository(self.database),
            lambda: self.engine,
            self.deadlines,
            self.clock,
            Pace(lambda: self.database.is_behind, LIMIT_S / 2),
        )
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open tables and engine."""
        await self._parts.enter_async_context(self.database)
        self._parts.push_async_callback(self._client.aclose)
        self._parts.push_async_callback(self._signals.close)
        await self._parts.enter_async_context(self.engine)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close, leaving runs where they are."""
        await self._parts.aclose()

    async def sync(self, owner: str = OWNER, **changes: Any) -> IntentSynced:  # noqa: ANN401  # JSON
        """Take up the document's intent, with these changes; None leaves a field out."""
        body = {name: value for name, value in (INTENT | changes).items() if value is not None}
        return await self.service.sync_intent(owner, IntentSync.model_validate(body))

    async def run(
        self, week: int = 1, day: int = 1, *, force: bool = False, owner: str = OWNER
    ) -> DayPlanned:
        """Plan a day."""
        return await self.service.run_day(owner, DayRun(week=week, day=day, force_refresh=force))

    async def done(
        self,
        session_id: str,
        minutes: int = 45,
        confidence: int = 7,
        notes: str | None = None,
        owner: str = OWNER,
    ) -> DayCompleted:
        """Complete a day."""
        told = DayDone(session_id=session_id, completion_time_min=minutes, confidence=confidence, notes=notes)
        return await self.service.complete_day(owner, told)

    async def day_done(self, week: int = 1, day: int = 1, **told: Any) -> DayCompleted:  # noqa: ANN401
        """Plan a day and complete it."""
        return await self.done((await self.run(week, day)).session_id, **told)

    async def forget_replaced(self) -> int:
        """What is done hour after hour; how many intents went."""
        return await self.intents.forget_replaced(utc(self.clock.time()))

    async def status(self, owner: str = OWNER) -> LearningStatus:
        """Where somebody stands."""
        return await self.service.status(owner)

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        """The events so far, everybody's: type and data, in order."""
        async with self.database.session(SYSTEM) as session:
            rows = await session.all(select(OutboxRow).order_by(OutboxRow.number))
        return [(row.type, dict(row.data)) for row in rows]

    async def until(self, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(PATIENCE_S):
            for _ in count():
                if await is_so():
                    return
                await asyncio.sleep(0.002)

    async def give_up_hanging(self) -> None:
        """Have the agents answer again, and let end what is still asked of those that hung."""
        self.agents.hang.clear()
        self.clock.jump(60)
        await self.until(self._nothing_is_asked)

    async def _nothing_is_asked(self) -> bool:
        return not self._signals._lookups

    async def hangs(self, agent: str, others: int) -> None:
        """Wait until that agent was asked, and so many other steps of the run have ended."""

        async def is_so() -> bool:
            runs = await self.engine.list(workflow=day.type_name, status=[RunStatus.RUNNING], limit=1)
            if not runs or not self.agents.times_asked(agent):
                return False
            steps = await (await self.engine.get(runs[0].id)).steps()
            return sum(step.status is RunStatus.COMPLETED for step in steps) == others

        await self.until(is_so)


def _no_streams() -> NoReturn:
    raise AssertionError("events stay in the outbox in this room")

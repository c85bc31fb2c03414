"""The steps of a day: what touches agents and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator import Retry, step, step_info
from orchestrator.core.clock import utc
from orchestrator.features.days.day import DayRequest, Made, Question, Seen, Stored, Written, digest

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.features.days.asking import AskedAgents
    from orchestrator.features.days.deadlines import Deadlines
    from orchestrator.features.days.repository import IntentRepository, SessionRepository

# Agents and their retries have limits of their own (signals_by, plan_by). These tries are for tables that are
# away for a moment; a person waits, so there are few.
RETRY: Final = Retry(attempts=4, backoff=(0.2, 0.5, 1))
STEP_TIMEOUT_S: Final = 60
PREPARED_AT_ONCE: Final = 20


class DaySteps:
    """What runs of days do, on the room's tables and agents."""

    def __init__(
        self,
        agents: AskedAgents,
        intents: IntentRepository,
        sessions: SessionRepository,
        deadlines: Deadlines,
        clock: Clock,
    ) -> None:
        self._agents = agents
        self._intents = intents
        self._sessions = sessions
        self._deadlines = deadlines
        self._clock = clock

    @step(name="look-up-signal", timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def look_up(self, question: Question) -> Seen:
        """Ask an agent, or the cache; there is an answer by the deadline, if only that there is none."""
        return await self._agents.look_up(question, step_info().idempotency_key)

    @step(name="write-plan", timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def write(self, day: DayRequest, seen: list[Seen]) -> Written:
        """Have the instructor write a plan, unless the one that is kept still holds."""
        if await self._sessions.holds(day, digest(day, seen)):
            return Written(plan=None)
        return await self._agents.write(day, seen, step_info().idempotency_key)

    @step(name="store-day", timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def store(self, made: Made) -> Stored:
        """Keep what came of it, and tell of it."""
        return Stored(session_id=await self._sessions.store(made, utc(self._clock.time())))

    @step(name="find-due-days", timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def find_due(self) -> list[DayRequest]:
        """The next days to be prepared now, a few at a time, whoever they are for."""
        now = self._clock.time()
        due = await self._intents.due(utc(now), PREPARED_AT_ONCE)
        return [self._deadlines.scheduled(row, now) for row in due]

    @step(name="put-off-day", timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def put_off(self, day: DayRequest) -> None:
        """Leave a day that could not be prepared for the next morning."""
        await self._intents.put_off(day.owner, day.intent_id, utc(self._clock.time()))

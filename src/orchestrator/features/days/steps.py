"""The steps of a day: what touches agents and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator import Retry, step, step_info
from orchestrator.features.days.day import DayRequest, Made, Question, Seen, Stored, Written, digest

if TYPE_CHECKING:
    from orchestrator.features.days.asking import AskedAgents
    from orchestrator.features.days.morning import Morning
    from orchestrator.features.days.storing import Storing

# Agents and their retries have limits of their own (signals_by, plan_by). These tries are for tables that are
# away for a moment; a person waits, so there are few.
RETRY: Final = Retry(attempts=4, backoff=(0.2, 0.5, 1))
STEP_TIMEOUT_S: Final = 60
# It waits for runs, which have a deadline of a minute at most.
PREPARING_TIMEOUT_S: Final = 300


class DaySteps:
    """What runs of days do, on the room's tables and agents."""

    def __init__(self, agents: AskedAgents, storing: Storing, morning: Morning) -> None:
        self._agents = agents
        self._storing = storing
        self._morning = morning

    @step(name="look-up-signal", timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def look_up(self, question: Question) -> Seen:
        """Ask an agent, or the cache; there is an answer by the deadline, if only that there is none."""
        return await self._agents.look_up(question, step_info().idempotency_key)

    @step(name="write-plan", timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def write(self, day: DayRequest, seen: list[Seen]) -> Written:
        """Have the instructor write a plan, unless the one that is kept still holds."""
        if day.is_kept(digest(day, seen)):
            return Written(plan=None)
        return await self._agents.write(day, seen, step_info().idempotency_key)

    @step(name="store-day", timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def store(self, made: Made) -> Stored:
        """Keep what came of it, and tell of it."""
        return await self._storing.store(made, has_time=True)

    @step(name="prepare-some-days", timeout=PREPARING_TIMEOUT_S, retry=RETRY)
    async def prepare_some(self) -> int:
        """Prepare the next days of a few people who are due; how many there were."""
        return await self._morning.prepare_some()

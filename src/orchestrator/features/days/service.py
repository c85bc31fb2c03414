"""What can be asked of days: say what to learn, get a day's plan, tell how it went, see where one stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from orchestrator.core.clock import utc
from orchestrator.core.errors import ConflictError, OrchestratorError, UnavailableError
from orchestrator.core.ids import new_id
from orchestrator.core.waiting import time_limit
from orchestrator.features.days import calls, views
from orchestrator.features.days.asking import unseen, without_instructor
from orchestrator.features.days.day import Made
from orchestrator.features.days.repository.sessions import NO_ACTIVE_INTENT
from orchestrator.features.days.schemas import DayPlanned
from orchestrator.features.days.workflow import day as day_workflow
from orchestrator.web.background import hourly

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Clock
    from orchestrator.core.pacing import Pace
    from orchestrator.durable.engine import Engine
    from orchestrator.features.days.day import DayRequest
    from orchestrator.features.days.deadlines import Deadlines
    from orchestrator.features.days.repository import (
        IntentRepository,
        OverviewRepository,
        SessionRepository,
    )
    from orchestrator.features.days.schemas import (
        DayCompleted,
        DayDone,
        DayRun,
        IntentSync,
        IntentSynced,
        LearningStatus,
    )
    from orchestrator.features.days.storing import Storing

log = structlog.get_logger()


class DayService:
    """The four functions, each for its owner, with one log line per call."""

    def __init__(
        self,
        intents: IntentRepository,
        sessions: SessionRepository,
        storing: Storing,
        overviews: OverviewRepository,
        engine: Callable[[], Engine],
        deadlines: Deadlines,
        clock: Clock,
        pace: Pace,
    ) -> None:
        """Take what it is made of; a plan is the work of ten other calls, and begins at this ``pace``."""
        self._intents = intents
        self._sessions = sessions
        self._storing = storing
        self._overviews = overviews
        self._engine = engine
        self._deadlines = deadlines
        self._clock = clock
        self._pace = pace

    async def sync_intent(self, owner: str, wanted: IntentSync) -> IntentSynced:
        """Take up what the owner wants to learn."""
        with calls.told(self._clock, "intent.sync", owner):
            row = await self._intents.sync(owner, wanted, utc(self._clock.time()))
            return views.synced(row)

    async def run_day(self, owner: str, asked: DayRun) -> DayPlanned:
        """Plan a day, by the deadline in any case.

        Raises:
            ConflictError: the owner has no active intent.
        """
        with calls.told(self._clock, "day.run", owner) as call:
            now = self._clock.time()
            found = await self._intents.asked(owner, asked.week, asked.day)
            if found is None:
                raise ConflictError(
                    "There is no active learning intent. Say what you want to learn by intent.sync first.",
                    code=NO_ACTIVE_INTENT,
                )
            intent, kept = found
            planned = await self._planned(self._deadlines.asked(intent, asked, kept, now), now)
            call.cache_hits, call.cache_misses = planned.cache_hits, planned.cache_misses
            call.degraded_mode = planned.degraded_mode
            return planned

    async def complete_day(self, owner: str, done: DayDone) -> DayCompleted:
        """Write down how a day went. Told twice, the first time counts.

        Raises:
            NotFoundError: the owner has no such session.
        """
        with calls.told(self._clock, "day.done", owner):
            return views.completed(await self._sessions.complete(owner, done, utc(self._clock.time())))

    async def status(self, owner: str) -> LearningStatus:
        """Where the owner stands."""
        with calls.told(self._clock, "status", owner):
            overview = await self._overviews.of(owner)
            return views.status(owner, overview, utc(self._clock.time()))

    async def forget_replaced_always(self) -> None:
        """Forget replaced intents that came to no day, hour after hour.

        Raises:
            UnavailableError: the tables are away. Call again.
        """
        async for _ in hourly(self._clock):
            forgotten = await self._intents.forget_replaced(utc(self._clock.time()))
            log.info("replaced intents forgotten", count=forgotten)

    async def _planned(self, request: DayRequest, now: float) -> DayPlanned:
        """The day's session, as a run leaves it; with a plan by rules where none does so in time."""
        run_id = f"day-{new_id()}"
        try:
            async with time_limit(self._clock, self._deadlines.answer_by(now)):
                await self._pace.turn()
                run = await self._engine().start(day_workflow, request, id=run_id, owner=request.owner)
                return DayPlanned.model_validate((await run.result()).answer)
        except TimeoutError:
            code = "TIMEOUT"
        except UnavailableError:
            raise  # tables or engine are away, and so would they be for a plan by rules
        except OrchestratorError as error:
            log.exception("run of a day failed", run=run_id, code=error.code)
            code = "AGENT_ERROR"
        seen = unseen(code)
        made = Made(
            run_id=f"{run_id}-late", day=request, seen=seen, written=without_instructor(request, seen, code)
        )
        return DayPlanned.model_validate((await self._storing.store(made)).answer)

"""The HTTP routes of document 000: parse, call the service, answer.

Supabase's clients call functions below ``/functions/v1``; the same routes are there without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Depends

from orchestrator.features.days.schemas import (
    DayCompleted,
    DayDone,
    DayPlanned,
    DayRun,
    IntentSync,
    IntentSynced,
    LearningStatus,
)
from orchestrator.web.auth.access import User  # FastAPI reads it
from orchestrator.web.limits.counting import Limit, within
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from orchestrator.core.rates import Buckets, Rate
    from orchestrator.features.days.service import DayService

FUNCTIONS: Final = "/functions/v1"
ORCHESTRATOR: Final = "/orchestrator"
DAY_RUNS: Final = "days.run"


def days_router(service: DayService, agents: APIRouter, buckets: Buckets, day_runs: Rate) -> APIRouter:
    """The routes over ``service``, where each user may plan so many days, and those of our agents."""
    functions = _functions(service, buckets, Limit(DAY_RUNS, day_runs))
    router = APIRouter()
    router.include_router(functions, prefix=FUNCTIONS)
    router.include_router(functions, include_in_schema=False)
    router.include_router(agents)
    return router


def _functions(service: DayService, buckets: Buckets, day_runs: Limit) -> APIRouter:
    router = APIRouter(prefix=ORCHESTRATOR, tags=["days"])

    @router.post(
        "/intent.sync",
        responses=problems(400, 401, 403, 429),
        summary="Say what you want to learn: the same topic changes it, another one takes its place",
    )
    async def sync_intent(caller: User, wanted: IntentSync) -> IntentSynced:
        return await service.sync_intent(caller.user, wanted)

    @router.post(
        "/day.run",
        dependencies=[Depends(within(buckets, day_runs))],
        responses=problems(400, 401, 403, 409, 429),
        summary="Plan a day; the same week and day again keeps its session",
    )
    async def run_day(caller: User, asked: DayRun | None = None) -> DayPlanned:
        return await service.run_day(caller.user, asked or DayRun())

    @router.post(
        "/day.done",
        responses=problems(400, 401, 403, 404, 429),
        summary="Say how a day went; said twice, the first time counts",
    )
    async def complete_day(caller: User, done: DayDone) -> DayCompleted:
        return await service.complete_day(caller.user, done)

    @router.get("/status", responses=problems(401, 403, 429), summary="See where you stand")
    async def status(caller: User) -> LearningStatus:
        return await service.status(caller.user)

    @router.post(
        "/status",
        responses=problems(401, 403, 429),
        summary="The same, as supabase's clients ask for it: without a body",
    )
    async def status_as_function(caller: User) -> LearningStatus:
        return await service.status(caller.user)

    return router

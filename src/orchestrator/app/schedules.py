"""Routes that steer schedules, for admins: the command line of this machine's user is one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from orchestrator.durable.schedules import ScheduleStatus
from orchestrator.web.audit import Trail
from orchestrator.web.auth.access import Admin
from orchestrator.web.feature import Feature
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.engine import Engine, Schedule

ScheduleId = Annotated[str, Path(description="The schedule's id.")]


class ScheduleNow(BaseModel):
    """Where a schedule stands after it was told something."""

    id: str = Field(description="The schedule's id.")
    status: ScheduleStatus = Field(description="Whether it starts runs.")
    next_at: datetime | None = Field(description="When it starts the next run; null where it starts none.")


class StartedRun(BaseModel):
    """A run that a schedule was told to start."""

    id: str = Field(description="The schedule's id.")
    run: str = Field(description="The run's id.")


def build(engine: Callable[[], Engine]) -> Feature:
    """The routes, for admins."""
    router = APIRouter(prefix="/api/v1/schedules", tags=["schedules"])

    @router.post("/{schedule_id}/pause", responses=problems(400, 401, 403, 404))
    async def pause(schedule_id: ScheduleId, _: Admin, trail: Trail) -> ScheduleNow:
        """Have a schedule start nothing until it is resumed; a run that is open goes on."""
        await trail.record("schedule.pause", schedule_id)
        schedule = await engine().get_schedule(schedule_id)
        await schedule.pause()
        return await _now(schedule)

    @router.post("/{schedule_id}/resume", responses=problems(400, 401, 403, 404, 422))
    async def resume(schedule_id: ScheduleId, _: Admin, trail: Trail) -> ScheduleNow:
        """Have a schedule start runs again, from its next time on."""
        await trail.record("schedule.resume", schedule_id)
        schedule = await engine().get_schedule(schedule_id)
        await schedule.resume()
        return await _now(schedule)

    @router.post("/{schedule_id}/run-now", responses=problems(400, 401, 403, 404, 409, 422))
    async def run_now(schedule_id: ScheduleId, _: Admin, trail: Trail) -> StartedRun:
        """Start a run of a schedule at once, unless its last one is still open."""
        await trail.record("schedule.run-now", schedule_id)
        run = await (await engine().get_schedule(schedule_id)).run_now()
        return StartedRun(id=schedule_id, run=run.id)

    return Feature(name="schedules", router=router)


async def _now(schedule: Schedule) -> ScheduleNow:
    info = await schedule.describe()
    return ScheduleNow(id=info.id, status=info.status, next_at=info.next_at)

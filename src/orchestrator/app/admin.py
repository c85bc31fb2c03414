"""Routes that steer runs, for admins: the command line of this machine's user is one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.core.errors import InvalidInputError, TerminalError
from orchestrator.durable.errors import MismatchError, RunError
from orchestrator.durable.payloads import PayloadError
from orchestrator.durable.runs import SAME_INPUT, Status
from orchestrator.web.audit import Trail
from orchestrator.web.auth.access import Admin
from orchestrator.web.feature import Feature
from orchestrator.web.idempotency.once import MadeId
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.engine import Engine, Run

CLEANING_UP_S = 5.0  # how long the answer waits for the run's end, so that it can tell it

RunId = Annotated[str, Path(description="The run's id.")]


class CancelledRun(BaseModel):
    """A run that was asked to stop."""

    id: str = Field(description="The run's id.")
    was: Status = Field(description="Where it stood when it was asked.")
    status: Status = Field(description="Where it stands now; still open while its code cleans up.")


class CancelOfRun(BaseModel):
    """How a run is asked to stop."""

    model_config = ConfigDict(extra="forbid")

    force_after: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="Seconds after which it is ended without its code if it is open; never if left out.",
    )


class RunNow(BaseModel):
    """A run that was paused or resumed."""

    id: str = Field(description="The run's id.")
    was: Status = Field(description="Where it stood before.")
    status: Status = Field(description="Where it stands now.")
    reason: str = Field(description="What a pending run waits for, or how one failed; otherwise empty.")


class ForkOfRun(BaseModel):
    """What a fork begins with."""

    model_config = ConfigDict(extra="forbid")

    from_step: str | None = Field(
        None,
        min_length=1,
        description="The step that runs anew, with all later ones: its name, for its first start, or its "
        "operation (`3`, `3:write`, `3.0/1`). Where the first failure or a cancel was, if left out.",
    )
    input: JsonValue = Field(None, description="Another input; that of the first run if left out.")
    id: str | None = Field(None, min_length=1, description="The fork's id; a new one if left out.")


class ForkedRun(BaseModel):
    """A run that begins with what another one recorded."""

    id: str = Field(description="The fork's id.")
    forked_from: str = Field(description="The id of the run that it is a fork of.")


def build(engine: Callable[[], Engine]) -> Feature:
    """The routes, for admins."""
    router = APIRouter(prefix="/api/v1/runs", tags=["runs"])

    @router.post("/{run_id}/cancel", responses=problems(400, 401, 403, 404))
    async def cancel(
        run_id: RunId, _: Admin, trail: Trail, wanted: CancelOfRun | None = None
    ) -> CancelledRun:
        """Ask a run to stop."""
        await trail.record("run.cancel", run_id)
        run = await engine().get(run_id)
        was = (await run.describe()).status
        await run.cancel(force_after=wanted.force_after if wanted else None)
        with suppress(RunError, TimeoutError):
            await asyncio.wait_for(run.result(), CLEANING_UP_S)
        return CancelledRun(id=run_id, was=was, status=(await run.describe()).status)

    @router.post("/{run_id}/pause", responses=problems(400, 401, 403, 404, 409))
    async def pause(run_id: RunId, _: Admin, trail: Trail) -> RunNow:
        """Have a run begin no new step or child until it is resumed; what runs goes on to its end."""
        await trail.record("run.pause", run_id)
        run = await engine().get(run_id)
        was = (await run.describe()).status
        await run.pause()
        return await _now(run, was)

    @router.post("/{run_id}/resume", responses=problems(400, 401, 403, 404, 409, 422))
    async def resume(run_id: RunId, _: Admin, trail: Trail) -> RunNow:
        """Let a paused run go on, or try a stuck one again; 422 with the reason where it is stuck still."""
        await trail.record("run.resume", run_id)
        run = await engine().get(run_id)
        was = (await run.describe()).status
        try:
            await run.resume()
        except MismatchError as error:
            raise TerminalError(error.message, code=error.code) from error
        return await _now(run, was)

    @router.post("/{run_id}/fork", status_code=201, responses=problems(400, 401, 403, 404, 409, 422))
    async def fork(run_id: RunId, wanted: ForkOfRun, _: Admin, trail: Trail, made_id: MadeId) -> ForkedRun:
        """Start another run with what a run recorded up to a step. The first one stays as it is."""
        await trail.record("run.fork", run_id)
        run = await engine().get(run_id)
        with_input = wanted.input if "input" in wanted.model_fields_set else SAME_INPUT
        try:
            forked = await run.fork(
                from_step=wanted.from_step, with_input=with_input, id=wanted.id or made_id
            )
        except PayloadError as error:
            raise InvalidInputError(error.message, code=error.code) from error
        return ForkedRun(id=forked.id, forked_from=run_id)

    return Feature(name="admin", router=router)


async def _now(run: Run[Any], was: Status) -> RunNow:
    info = await run.describe()
    return RunNow(id=info.id, was=was, status=info.status, reason=info.reason)

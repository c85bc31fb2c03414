"""Routes for the command line of this machine's user: they need the secret of the data directory."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel, Field

from orchestrator.core.errors import ForbiddenError, UnauthorizedError
from orchestrator.durable.errors import RunError
from orchestrator.durable.runs import Status
from orchestrator.web.feature import Feature
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.engine import Engine

SCHEME = "Bearer "
CLEANING_UP_S = 5.0  # how long the answer waits for the run's end, so that it can tell it


class CancelledRun(BaseModel):
    """A run that was asked to stop."""

    id: str = Field(description="The run's id.")
    was: Status = Field(description="Where it stood when it was asked.")
    status: Status = Field(description="Where it stands now; still open while its code cleans up.")


def build(engine: Callable[[], Engine], token: str) -> Feature:
    """The routes, open to whoever knows ``token``."""
    router = APIRouter(prefix="/api/v1/runs", tags=["runs"])

    @router.post("/{run_id}/cancel", responses=problems(400, 401, 403, 404))
    async def cancel(run_id: str, authorization: Annotated[str, Header()] = "") -> CancelledRun:
        """Ask a run to stop.

        Needs `Authorization: Bearer` with the token that stands in `service.json` in the data directory.
        """
        check_token(authorization, token)
        run = await engine().get(run_id)
        was = (await run.describe()).status
        await run.cancel()
        with suppress(RunError, TimeoutError):
            await asyncio.wait_for(run.result(), CLEANING_UP_S)
        return CancelledRun(id=run_id, was=was, status=(await run.describe()).status)

    return Feature(name="admin", router=router)


def check_token(authorization: str, token: str) -> None:
    """Let through who knows the token of this service.

    Raises:
        UnauthorizedError: no token was given. ForbiddenError: another one was.
    """
    if not authorization:
        raise UnauthorizedError("Give the token of this service as 'Authorization: Bearer …'.")
    if not secrets.compare_digest(authorization.encode(), f"{SCHEME}{token}".encode()):
        raise ForbiddenError("This is not the token of this service; a restart makes a new one.")

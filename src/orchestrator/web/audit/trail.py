"""The audit trail as a route reaches it: by a parameter ``trail: Trail``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI reads it

from orchestrator.web.auth.caller import caller_of

if TYPE_CHECKING:
    from starlette.types import Scope

    from orchestrator.core.errors import OrchestratorError
    from orchestrator.web.audit.audit import Audit
    from orchestrator.web.audit.refusals import Refusals


class RequestTrail:
    """Records what one request does, by its caller and from its address.

    An application without tables has no trail, and records nothing.
    """

    def __init__(self, connection: HTTPConnection) -> None:
        self._scope = connection.scope
        self._audit: Audit | None = connection.app.state.audit

    async def record(self, action: str, subject: str) -> None:
        """Write down what is about to be done.

        Raises:
            UnavailableError: the tables are away, and it must not be done.
        """
        if self._audit is not None:
            caller = caller_of(self._scope)
            await self._audit.record(action, caller, subject=subject, source=source_of(self._scope))


async def note_refusal(connection: HTTPConnection, error: OrchestratorError) -> None:
    """Write down that a credential was refused which came otherwise than in a header."""
    refusals: Refusals | None = connection.app.state.refusals
    if refusals is not None:
        await refusals.note(connection.scope, error)


def source_of(scope: Scope) -> str:
    """The address that a request came from; a proxy's, where there is one in front."""
    host, _ = scope.get("client") or ("", 0)
    return str(host)


async def _trail(connection: HTTPConnection) -> RequestTrail:
    return RequestTrail(connection)


Trail = Annotated[RequestTrail, Depends(_trail)]

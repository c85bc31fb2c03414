"""Finds out who calls, once per request, before anything else is done for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers

from orchestrator.core.errors import ForbiddenError, OrchestratorError, UnauthorizedError
from orchestrator.web.auth.caller import SCOPE_KEY
from orchestrator.web.auth.credentials import Credentials
from orchestrator.web.problems import problem_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from orchestrator.web.auth.caller import Caller
    from orchestrator.web.auth.sign_in import SignIn
    from orchestrator.web.limits.sign_ins import SignInLimit

log = structlog.get_logger()


class Identify:
    """Keeps the caller in the request's scope. A credential that is wrong ends it, whatever the route."""

    def __init__(self, app: ASGIApp, sign_in: SignIn, limit: SignInLimit) -> None:
        """Take who is let in, and what counts who is not."""
        self.app = app
        self.sign_in = sign_in
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        try:
            given = Credentials.of(Headers(scope=scope), self.sign_in.api_key_header)
            scope[SCOPE_KEY] = await self._caller(scope, given)
        except OrchestratorError as error:
            log.warning("caller refused", code=error.code, reason=error.message)
            await problem_of(error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _caller(self, scope: Scope, given: Credentials) -> Caller:
        await self.limit.check(scope, given.api_key)
        try:
            caller = await self.sign_in.caller(given)
        except (UnauthorizedError, ForbiddenError) as error:
            raise await self.limit.refused(scope, error, given.api_key) from error
        self.limit.passed(given.api_key)
        return caller

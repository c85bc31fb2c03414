"""Whose events a client may hear: by what it said as it connected, and by the tokens it sends later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import ForbiddenError, UnauthorizedError
from orchestrator.db import SYSTEM
from orchestrator.web.auth.caller import Role
from orchestrator.web.auth.credentials import Credentials

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator.core.errors import OrchestratorError
    from orchestrator.db.session import System
    from orchestrator.web.auth.caller import Caller
    from orchestrator.web.auth.sign_in import SignIn

    Refused = Callable[[OrchestratorError], Awaitable[OrchestratorError]]

SCOPE: Final = "events"  # of API keys
PUBLISHABLE: Final = "sb_"  # how the keys of a Supabase project begin that are no tokens


class Identity:
    """One client, as it connected. What its tokens say is found out anew whenever it is asked."""

    def __init__(self, sign_in: SignIn, headers: Credentials, apikey: str, refused: Refused) -> None:
        """Take what its headers say, the ``apikey`` of its address, and what counts refusals."""
        self._sign_in = sign_in
        self._headers = headers
        self._apikey = apikey
        self._refused = refused

    async def check(self) -> None:
        """Let it connect.

        Raises:
            UnauthorizedError: it has neither signed in nor the project's key. UnavailableError: nobody can
                tell now.
        """
        caller = await self._as_connected()
        if caller.role is Role.NOBODY and not self._apikey:
            raise UnauthorizedError("Say who connects: send the project's key as 'apikey' in the address.")

    async def listens_to(self, token: str | None) -> str | System | None:
        """Whose events it hears with that token, or without one; ``SYSTEM`` for everybody's, None for none.

        Raises:
            UnauthorizedError: the token is not valid. RateLimitedError: nor were many others of its address.
            ForbiddenError: an API key is for other parts of the service. UnavailableError: nobody can tell
                now.
        """
        if token is None or token == self._apikey:
            caller = await self._as_connected()
        else:
            caller = await self._caller(Credentials(bearer=token))
        if not caller.opens(SCOPE):
            raise ForbiddenError("This API key is for other parts of the service.", code="key_scope")
        if caller.user:
            return caller.user
        return SYSTEM if caller.role in {Role.SERVICE, Role.ADMIN} else None

    async def _as_connected(self) -> Caller:
        """Who it is by its headers, or else by the key of its address, as both are worth something now."""
        known = await self._caller(self._headers)
        if known.role not in {Role.NOBODY, Role.LOCAL} or not self._apikey:
            return known
        if self._apikey.startswith(PUBLISHABLE) and not self._sign_in.anon_key:
            return known  # a key that lets nobody do anything, of a project that was not named
        return await self._caller(Credentials(bearer=self._apikey))

    async def _caller(self, given: Credentials) -> Caller:
        try:
            return await self._sign_in.caller(given)
        except (UnauthorizedError, ForbiddenError) as error:
            raise await self._refused(error) from error

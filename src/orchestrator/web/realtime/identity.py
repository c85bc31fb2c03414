"""Whose events a client may hear: by what it said as it connected, and by the tokens it sends later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import ForbiddenError, UnauthorizedError
from orchestrator.db import SYSTEM
from orchestrator.web.auth.caller import Caller, Role
from orchestrator.web.auth.credentials import Credentials

if TYPE_CHECKING:
    from orchestrator.db.session import System
    from orchestrator.web.auth.sign_in import SignIn

SCOPE: Final = "events"  # of API keys
PUBLISHABLE: Final = "sb_"  # how the keys of a Supabase project begin that are no tokens


class Identity:
    """One client, as it connected. What its tokens say is found out anew whenever it is asked."""

    def __init__(self, sign_in: SignIn, known: Caller, apikey: str) -> None:
        """Take who it is by its headers, and the ``apikey`` of its address."""
        self._sign_in = sign_in
        self._known = known
        self._apikey = apikey

    async def check(self) -> None:
        """Let it connect.

        Raises:
            UnauthorizedError: it has neither signed in nor the project's key. UnavailableError: nobody can
                tell now.
        """
        if self._known.role is Role.NOBODY and not self._apikey:
            raise UnauthorizedError("Say who connects: send the project's key as 'apikey' in the address.")
        await self._as_connected()

    async def listens_to(self, token: str | None) -> str | System | None:
        """Whose events it hears with that token, or without one; ``SYSTEM`` for everybody's, None for none.

        Raises:
            UnauthorizedError: the token is not valid. ForbiddenError: an API key is for other parts of the
                service. UnavailableError: nobody can tell now.
        """
        if token is None or token == self._apikey:
            caller = await self._as_connected()
        else:
            caller = await self._sign_in.caller(Credentials(bearer=token))
        if not caller.opens(SCOPE):
            raise ForbiddenError("This API key is for other parts of the service.", code="key_scope")
        if caller.user:
            return caller.user
        return SYSTEM if caller.role in {Role.SERVICE, Role.ADMIN} else None

    async def _as_connected(self) -> Caller:
        if self._known.role not in {Role.NOBODY, Role.LOCAL} or not self._apikey:
            return self._known
        if self._apikey.startswith(PUBLISHABLE) and not self._sign_in.anon_key:
            return self._known  # a key that lets nobody do anything, of a project that was not named
        return await self._sign_in.caller(Credentials(bearer=self._apikey))

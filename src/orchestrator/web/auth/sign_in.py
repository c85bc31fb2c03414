"""From what a request says to who is calling."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from orchestrator.core.errors import ForbiddenError, InvalidInputError, UnauthorizedError
from orchestrator.web.auth.caller import LOCAL, LOCAL_USER, NOBODY, OPERATOR, SERVICE, Caller, Role
from orchestrator.web.auth.key_ring import NoKeys
from orchestrator.web.auth.links import Links

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.web.auth.credentials import Credentials
    from orchestrator.web.auth.key_ring import KeyRing

API_KEY_HEADER = "X-API-Key"


class Tokens(Protocol):
    """Which tokens are believed."""

    async def caller(self, token: str) -> Caller:
        """Who has this token.

        Raises:
            UnauthorizedError: it is not valid; the message says why.
            UnavailableError: nobody can tell now.
        """
        ...


@dataclass(frozen=True, slots=True)
class SignIn:
    """Finds out who calls.

    Attributes:
        tokens: which tokens are believed.
        is_dev: whether everybody on this machine is let in, as whom they say.
        operator_token: the secret of the data directory; who knows it is the operator. Empty: there is none.
        service_keys: secrets of our own other services.
        anon_key: what an application sends that nobody has signed in to. No secret.
        keys: the API keys.
        api_key_header: in which header they come.
        links: tokens that stand in addresses.
    """

    tokens: Tokens
    is_dev: bool
    operator_token: str = ""
    service_keys: tuple[str, ...] = ()
    anon_key: str = ""
    keys: KeyRing = NoKeys()  # noqa: RUF009 - it has no state
    api_key_header: str = API_KEY_HEADER
    links: Links = field(default_factory=Links)

    async def caller(self, given: Credentials) -> Caller:
        """Who calls with these credentials.

        Raises:
            UnauthorizedError: a token or key is not valid. ForbiddenError: another user is named.
            InvalidInputError: two credentials contradict each other. UnavailableError: nobody can tell now.
        """
        return self._acting(await self._known(given), given.user)

    async def of_token(self, token: str) -> Caller:
        """Who calls with this token; raises as ``caller`` does."""
        if _is_one_of(token, [self.operator_token]):
            return OPERATOR
        if _is_one_of(token, self.service_keys):
            return SERVICE
        if not token or _is_one_of(token, [self.anon_key]):
            return NOBODY
        return await self.tokens.caller(token)

    async def _known(self, given: Credentials) -> Caller:
        """Who they are, whatever user they name."""
        # Supabase's clients send the project's key in both headers until somebody signs in; then the token
        # says who it is, also where a server passes its users' tokens on beside a service's key.
        is_key_alone = bool(given.apikey) and given.bearer in {"", given.apikey}
        if is_key_alone:
            caller = SERVICE if _is_one_of(given.apikey, self.service_keys) else NOBODY
        else:
            caller = await self.of_token(given.bearer)
        if not given.api_key:
            return caller
        if caller is not NOBODY:
            raise InvalidInputError(f"Give a token or {self.api_key_header}, not both.")
        found = await self.keys.find(given.api_key)
        if found is None:
            raise UnauthorizedError(
                "This API key is not valid: unknown, revoked or expired. Ask an admin for another one."
            )
        return found

    def _acting(self, caller: Caller, named: str) -> Caller:
        """The caller, acting as the user that it names where it may."""
        if not named:
            if caller is OPERATOR:
                return replace(caller, user=LOCAL_USER)
            return LOCAL if self.is_dev and caller is NOBODY else caller
        if caller.user and caller.user != named:
            raise ForbiddenError("X-User-ID names another user than the one who is signed in. Leave it out.")
        if caller.role is Role.NOBODY:
            return Caller.of_user(named) if self.is_dev else caller
        return replace(caller, user=named)


def _is_one_of(given: str, secrets: Iterable[str]) -> bool:
    """Whether ``given`` is one of them; how long this takes tells nothing of a secret."""
    sent = given.encode(errors="surrogatepass")  # half a letter can come where a token comes in JSON
    return any(hmac.compare_digest(sent, secret.encode()) for secret in secrets if secret)

"""Tokens that stand in an address, where nothing else can: an EventSource and an <img> send no header."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from jwt.api_jwt import PyJWT

from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import UnauthorizedError
from orchestrator.web.auth.tokens import LONGEST_TOKEN_CHARS, SECRETS, check_times, claims_of

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from orchestrator.core.clock import Clock

LINKS_LAST_S: Final = 600.0  # addresses are kept by histories and proxies
PURPOSE: Final = b"orchestrator links"
KEY_BYTES: Final = 32


class Links:
    """Makes and checks tokens that let one user read what is at one address, and below, for minutes."""

    def __init__(self, secret: str | None = None, clock: Clock | None = None) -> None:
        """Take a secret that the processes of the service share; without, tokens are good in this one."""
        shared = secret.encode() if secret else secrets.token_bytes(KEY_BYTES)
        # Not the secret itself: no other token is good as a link, and no link as another token.
        self._key = hmac.digest(shared, PURPOSE, hashlib.sha256)
        self._clock = clock or SystemClock()

    def token(self, user: str, address: str) -> tuple[str, float]:
        """A token of ``user`` for ``address``, a path without a slash at its end, and until when it is good.

        The moment is in seconds since 1970.
        """
        end = self._clock.time() + LINKS_LAST_S
        claims = {"sub": user, "below": address, "exp": end}
        return PyJWT().encode(claims, self._key, SECRETS), end

    def user(self, token: str, path: str) -> str:
        """Whose token it is.

        Raises:
            UnauthorizedError: it is none of ours, not for ``path``, or not good any more.
        """
        claims = claims_of(token, self._key, SECRETS) if len(token) <= LONGEST_TOKEN_CHARS else {}
        check_times(claims, self._clock.time())
        address = str(claims["below"])
        if path != address and not path.startswith(f"{address}/"):
            raise UnauthorizedError(
                "This token is for another address. Ask for one for this address.", code="token_invalid"
            )
        return str(claims["sub"])


def links_of(connection: HTTPConnection) -> Links:
    """Those of the service that this request came to."""
    links: Links = connection.app.state.sign_in.links
    return links

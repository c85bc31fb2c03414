"""How many sign-ins from one address may be refused: guessing costs whoever guesses, and nobody else.

A token is told by its signature, which costs less than the request around it: a good one passes always,
whatever others behind the same address send. An API key is looked up in the tables. So once too many were
refused, a key is looked up only if it opened this service before, and all others have to wait.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import RateLimitedError
from orchestrator.web.audit.trail import source_of
from orchestrator.web.limits.counting import in_words, network_of

if TYPE_CHECKING:
    from starlette.types import Scope

    from orchestrator.core.errors import OrchestratorError
    from orchestrator.core.rates import Buckets, Taken
    from orchestrator.web.audit.refusals import Refusals
    from orchestrator.web.limits.counting import Limit

MOST_KNOWN: Final = 10_000  # API keys; above it the one is forgotten that was not used longest
NOT_LOOKED_UP: Final = "This API key was not looked up."


class SignInLimit:
    """Counts refused sign-ins per address, and writes them down."""

    def __init__(self, buckets: Buckets, limit: Limit, refusals: Refusals | None = None) -> None:
        """Take what is counted in, how many there may be, and where they are written down."""
        self._buckets = buckets
        self._limit = limit
        self._refusals = refusals
        self._known: dict[str, None] = {}  # digests of API keys that opened, the last one used last

    async def check(self, scope: Scope, api_key: str) -> None:
        """Let an API key be looked up; without one there is nothing to look up.

        Raises:
            RateLimitedError: too many sign-ins from its address were refused, and nobody here knows the key.
        """
        if not api_key or _digest(api_key) in self._known:
            return
        taken = await self._buckets.look(self._bucket(scope), self._limit.rate)
        if not taken.allowed:
            error = self._over(NOT_LOOKED_UP, taken)
            await self._note(scope, error)
            raise error

    def passed(self, api_key: str) -> None:
        """Know this API key: it opened the service."""
        if api_key:
            digest = _digest(api_key)
            self._known.pop(digest, None)
            self._known[digest] = None
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]

    async def refused(self, scope: Scope, error: OrchestratorError, api_key: str = "") -> OrchestratorError:
        """Count a refusal; gives what to answer: the error itself, or that there were too many."""
        self._known.pop(_digest(api_key), None)
        await self._note(scope, error)
        taken = await self._buckets.take(self._bucket(scope), self._limit.rate)
        return error if taken.allowed else self._over(error.message, taken)

    async def _note(self, scope: Scope, error: OrchestratorError) -> None:
        if self._refusals is not None:
            await self._refusals.note(scope, error)

    def _bucket(self, scope: Scope) -> str:
        return f"{self._limit.name}:address:{network_of(source_of(scope))}"

    def _over(self, reason: str, taken: Taken) -> RateLimitedError:
        wait_s = math.ceil(taken.next_s)
        return RateLimitedError(
            f"{reason} More sign-ins from this address were refused than may be: "
            f"{in_words(self._limit.rate)}. Try again in {wait_s} s.",
            retry_after=wait_s,
        )


def _digest(api_key: str) -> str:
    return hashlib.sha256(api_key.encode(errors="surrogatepass")).hexdigest()

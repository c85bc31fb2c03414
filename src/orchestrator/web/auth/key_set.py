"""The public keys of who issues tokens (a JSON Web Key Set, RFC 7517), fetched when they are needed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx2
import jwt
import structlog
from pydantic import BaseModel, ValidationError

from orchestrator.core.errors import UnauthorizedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.core.clock import Clock

FRESH_FOR_S: Final = 600.0  # so long a key that was withdrawn is believed
STALE_FOR_S: Final = 3_600.0  # so long the keys last while they cannot be fetched
FETCH_EVERY_S: Final = 10.0  # at most, whatever tokens strangers send
FETCH_TIMEOUT_S: Final = 5.0
LARGEST_SET_BYTES: Final = 256 * 1024
LONGEST_ID_CHARS: Final = 200
# One kind of key for one algorithm. Secrets (`oct`) are no public keys: whoever reads the set could sign.
KINDS: Final = {"EC P-256": "ES256", "RSA": "RS256"}

log = structlog.get_logger()


class _Set(BaseModel):
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Key:
    """A public key: its id, and the one algorithm that it is for."""

    id: str | None
    algorithm: str
    key: jwt.PyJWK


class KeySet:
    """The keys at one address, kept by their ids.

    They are fetched when a token comes whose key is not known, and anew once they are no longer fresh: then
    beside the request, which goes by the keys that there are. Never more often than every ten seconds.
    """

    def __init__(
        self, address: str, clock: Clock, *, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """Take the address of the set; ``transport`` is the way there, if it is not the network."""
        self._address = address
        self._clock = clock
        self._transport = transport
        self._keys: tuple[Key, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: object, algorithm: str) -> jwt.PyJWK:
        """The key of that id for that algorithm; without an id, the only one for it.

        Raises:
            UnauthorizedError: there is none. UnavailableError: nobody knows which keys there are.
        """
        if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= LONGEST_ID_CHARS):
            raise _unknown()
        if self._age() > STALE_FOR_S:
            self._keys = ()
        found = self._find(key_id, algorithm)
        if found is None or self._age() > FRESH_FOR_S:
            fetching = self._fetch()
            if found is None and fetching is not None:
                await asyncio.shield(fetching)
                found = self._find(key_id, algorithm)
        if found is not None:
            return found
        if self._age() > STALE_FOR_S:
            wait_s = max(self._tried_at + FETCH_EVERY_S - self._clock.time(), 1.0)
            raise UnavailableError(
                "The keys that check tokens cannot be fetched now. Try again in a moment.", retry_after=wait_s
            )
        raise _unknown()

    def _age(self) -> float:
        return self._clock.time() - self._fetched_at

    def _find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [key for key in self._keys if key.algorithm == algorithm and key_id in (key.id, None)]
        return fitting[0].key if len(fitting) == 1 else None

    def _fetch(self) -> asyncio.Task[None] | None:
        """The fetch under way, one that begins now, or None where it is too early for another."""
        if self._fetching is None and self._clock.time() - self._tried_at >= FETCH_EVERY_S:
            self._tried_at = self._clock.time()
            self._fetching = asyncio.create_task(self._fetched(), name="keys of the issuer")
        return self._fetching

    async def _fetched(self) -> None:
        try:
            self._keys = await shown_keys(self._address, self._transport)
            self._fetched_at = self._clock.time()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError) as error:
            log.warning("keys of the issuer not fetched", address=self._address, reason=str(error))
        finally:
            self._fetching = None


async def shown_keys(address: str, transport: httpx2.AsyncBaseTransport | None = None) -> tuple[Key, ...]:
    """The keys that ``address`` shows and that can be used.

    Raises:
        httpx2.HTTPError, httpx2.InvalidURL, TimeoutError: it cannot be reached.
        ValueError: it shows something else than keys.
    """
    client = httpx2.AsyncClient(transport=transport, timeout=FETCH_TIMEOUT_S)
    async with asyncio.timeout(FETCH_TIMEOUT_S), client, client.stream("GET", address) as answer:
        if answer.status_code != httpx2.codes.OK:
            raise ValueError(f"it answers {answer.status_code}")
        body = b""
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > LARGEST_SET_BYTES:
                raise ValueError(f"it is larger than {LARGEST_SET_BYTES} bytes")
    try:
        shown = _Set.model_validate_json(body)
    except ValidationError:
        raise ValueError("it is no JSON Web Key Set") from None
    return tuple(_usable(shown))


def _usable(shown: _Set) -> Iterator[Key]:
    """The keys that check signatures of a kind that we know; the set may have others."""
    for told in shown.keys:
        if told.get("use", "sig") != "sig":
            continue
        algorithm = KINDS.get(f"{told.get('kty')} {told.get('crv', '')}".strip())
        if algorithm is None or told.get("alg", algorithm) != algorithm:
            continue
        try:
            yield Key(told.get("kid"), algorithm, jwt.PyJWK(told, algorithm))
        except jwt.PyJWTError as error:
            log.warning("a key of the issuer cannot be used", key=str(told.get("kid")), reason=str(error))


def _unknown() -> UnauthorizedError:
    return UnauthorizedError(
        "This token is not valid: it is signed with a key that its issuer does not show. "
        "Sign in again for one that is signed with a key of now.",
        code="token_invalid",
    )

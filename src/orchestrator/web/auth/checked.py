"""Tokens whose signature was right, so that it is computed once and not with every request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import jwt

    from orchestrator.web.auth.caller import Caller

# About 20 MB. Of who is not among them the signature is computed again, and that is all.
MOST_TOKENS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Checked:
    """A token that was right: who has it, when it is valid, and which key says so.

    The times pass and the issuer may withdraw the key, so both are looked at again with every request.
    """

    caller: Caller
    times: Mapping[str, Any]  # its claims `exp` and `nbf`
    algorithm: str
    key_id: object
    key: str | jwt.PyJWK


class CheckedTokens:
    """Tokens by their hashes (nobody finds a token here), up to ``most``.

    Above it the one goes that was not asked for longest.
    """

    def __init__(self, *, most: int = MOST_TOKENS) -> None:
        self._most = most
        self._by_hash: dict[bytes, Checked] = {}  # the one that was asked for last is the last

    def __len__(self) -> int:
        return len(self._by_hash)

    def find(self, token: str) -> Checked | None:
        """What was found out about exactly this token."""
        hashed = _hash(token)
        found = self._by_hash.pop(hashed, None)
        if found is not None:
            self._by_hash[hashed] = found
        return found

    def keep(self, token: str, checked: Checked) -> None:
        """Remember it."""
        self._by_hash[_hash(token)] = checked
        if len(self._by_hash) > self._most:
            del self._by_hash[next(iter(self._by_hash))]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

"""What a request asks for under which key, read from its headers and its body."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import InvalidInputError
from orchestrator.core.ids import new_id

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import Scope

    from orchestrator.web.auth.caller import Caller

NAMES: Final = ("Idempotency-Key", "X-Idempotency-Key")
LONGEST_KEY_CHARS: Final = 255
KEY: Final = re.compile(rf"[!-~]{{1,{LONGEST_KEY_CHARS}}}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at something that is to be done once.

    Attributes:
        id: of the caller, the address and the key together, so that nobody meets another's answer.
        owner: whose row it is.
        fingerprint: of what is asked: the same key with another one is a mistake.
        number: of this try among those under the same key.
    """

    id: str
    owner: str
    fingerprint: str
    number: str = field(default_factory=new_id)

    @classmethod
    def of(cls, caller: Caller, scope: Scope, key: str, body: bytes) -> Attempt:
        """The attempt of this request."""
        who = (caller.role, caller.user, caller.name)
        return cls(
            id=_digest(*who, scope["method"], scope["path"], key),
            owner=caller.user or caller.name,
            fingerprint=_digest(scope["query_string"].decode("latin-1"), hashlib.sha256(body).hexdigest()),
        )


def key_in(headers: Headers) -> str:
    """The key that a request gives under either name, with or without the quotes of a structured field.

    Raises:
        InvalidInputError: it is empty, too long, not of visible ASCII, or there are two different ones.
    """
    given = {_unquoted(value) for name in NAMES for value in headers.getlist(name)}
    if len(given) > 1:
        raise InvalidInputError("Give one Idempotency-Key; this request has several.", code="idempotency_key")
    key = given.pop()
    if not KEY.fullmatch(key):
        raise InvalidInputError(
            f"An Idempotency-Key takes 1 to {LONGEST_KEY_CHARS} visible ASCII characters, such as a UUID.",
            code="idempotency_key",
        )
    return key


def _unquoted(value: str) -> str:
    value = value.strip()
    is_quoted = len(value) > len('""') and value[0] == value[-1] == '"'
    return value[1:-1] if is_quoted else value


def _digest(*parts: str) -> str:
    # With their lengths, so that no two lists of parts are the same text.
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()

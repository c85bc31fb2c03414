"""What a request says about its caller, before anybody believes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import InvalidInputError
from orchestrator.db import SYSTEM_OWNER
from orchestrator.db.tables import LONGEST_OWNER_CHARS

if TYPE_CHECKING:
    from starlette.datastructures import Headers

SCHEME: Final = "bearer"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the headers hold; empty where there is none."""

    bearer: str = ""  # the token, or what another scheme than Bearer brought with that scheme
    apikey: str = ""  # Supabase's header: a project's key, not ours
    api_key: str = ""  # one of our own API keys
    user: str = ""  # whom the caller names as the user

    @classmethod
    def of(cls, headers: Headers, api_key_header: str) -> Credentials:
        """Read them.

        Raises:
            InvalidInputError: a header comes twice, since something in between may have judged by the other
                one; or the named user is no name.
        """
        return cls(
            bearer=_token(_given_once(headers, "Authorization")),
            apikey=_given_once(headers, "apikey"),
            api_key=_given_once(headers, api_key_header),
            user=_user(_given_once(headers, "X-User-ID")),
        )


def is_user(name: str) -> bool:
    """Whether ``name`` can be a user's: some text, not too long, that every database takes, and not ours."""
    if name == SYSTEM_OWNER:
        return False
    if not 0 < len(name) <= LONGEST_OWNER_CHARS or any(ord(char) < ord(" ") for char in name):
        return False
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _given_once(headers: Headers, name: str) -> str:
    given = headers.getlist(name)
    if len(given) > 1:
        raise InvalidInputError(f"The header {name} may come once only.")
    return given[0].strip() if given else ""


def _token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == SCHEME else authorization


def _user(given: str) -> str:
    """The header's text; headers are bytes, and ours are UTF-8."""
    try:
        user = given.encode("latin-1").decode()
    except UnicodeError:
        raise InvalidInputError("X-User-ID is not text in UTF-8.") from None
    if user and not is_user(user):
        raise InvalidInputError(
            f"X-User-ID is not the id of a user: it takes 1 to {LONGEST_OWNER_CHARS} characters of text."
        )
    return user

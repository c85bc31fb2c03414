"""How one signs in, in the words of OpenAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orchestrator.db.tables import LONGEST_OWNER_CHARS

if TYPE_CHECKING:
    from orchestrator.web.auth.sign_in import SignIn

BEARER: Final = "bearer"
API_KEY: Final = "apiKey"
PROJECT_KEY: Final = "projectKey"
LINK: Final = "streamToken"

# By who a route is for, as `access` has it: the role of its callers, and how they may say who they are.
_ROLES: Final = {"learner": "user", "viewer": "user", "user": "user", "service": "service", "admin": "admin"}
_WAYS: Final = {
    "learner": (BEARER, API_KEY, PROJECT_KEY),
    "viewer": (BEARER, API_KEY, PROJECT_KEY, LINK),
    "user": (BEARER, API_KEY, PROJECT_KEY),
    "service": (BEARER, API_KEY, PROJECT_KEY),
    "admin": (BEARER, API_KEY),
}
NAMING_A_USER: Final[dict[str, Any]] = {
    "name": "X-User-ID",
    "in": "header",
    "required": False,
    "description": "The user that a service or an admin acts for; in dev mode, who you are.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_OWNER_CHARS, "pattern": "^[!-~]+$"},
}


def security_schemes(sign_in: SignIn) -> dict[str, Any]:
    """The ways to say who one is, by name."""
    return {
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The token of who is signed in, or a secret of our own services; on the service's "
            "own machine also the one in `service.json` of the data directory, which is an admin's.",
        },
        API_KEY: {
            "type": "apiKey",
            "in": "header",
            "name": sign_in.api_key_header,
            "description": "An API key of this service, for programs. It takes the place of a token.",
        },
        PROJECT_KEY: {
            "type": "apiKey",
            "in": "header",
            "name": "apikey",
            "description": "The project's service-role key, where no other token comes as Bearer. Supabase's "
            "clients always send their key here; an anonymous one is nobody.",
        },
        LINK: {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "A token for this address, got by `stream-token`, for <img> and EventSource.",
        },
    }


def security_of(access: str, *, is_dev: bool) -> list[dict[str, list[str]]]:
    """What a route that is for ``access`` asks for: one of these, by the role that it takes.

    In dev mode users need nothing: they are who they say.
    """
    nothing: list[dict[str, list[str]]] = [{}] if is_dev and is_about_a_user(access) else []
    return nothing + [{way: [_ROLES[access]]} for way in _WAYS[access]]


def is_about_a_user(access: str) -> bool:
    """Whether a call of such a route is about one user, whom a service has to name."""
    return _ROLES[access] == "user"

"""Tokens that we sign ourselves, for development: those that an issuer would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt.api_jwt import PyJWT

from orchestrator.core.errors import InvalidInputError, SettingsError
from orchestrator.web.auth.caller import LOCAL_USER
from orchestrator.web.auth.credentials import is_user
from orchestrator.web.auth.tokens import SECRETS

if TYPE_CHECKING:
    from orchestrator.core.settings import AuthSettings

ROLES: Final = ("user", "admin", "service", "anon")
_CLAIMED: Final = {
    "user": "authenticated",
    "admin": "authenticated",
    "service": "service_role",
    "anon": "anon",
}


def issued(auth: AuthSettings, role: str, user: str, *, now: float, lasts_s: float) -> str:
    """A token that a service with these settings believes, from ``now`` on for ``lasts_s`` seconds.

    Raises:
        SettingsError: there is no secret to sign with.
        InvalidInputError: such a token would not be believed: it needs a user, or must have none.
    """
    if auth.jwt_secret is None:
        raise SettingsError(
            "There is no secret to sign tokens with: auth.jwt_secret (ORCHESTRATOR_AUTH_JWT_SECRET) is not "
            f"set. {_instead(auth)}"
        )
    has_user = role in {"user", "admin"}
    if has_user and not (is_user(user) and user != LOCAL_USER):
        raise InvalidInputError(f"A token of role {role} has a user: give --user ID, any but '{LOCAL_USER}'.")
    if user and not has_user:
        raise InvalidInputError(f"A token of role {role} has no user: leave --user out.")
    claims: dict[str, object] = {
        "aud": auth.audience,
        "role": _CLAIMED[role],
        "iat": int(now),
        "exp": int(now + lasts_s),
    }
    if has_user:
        claims["sub"] = user
    if role == "admin":
        claims["app_metadata"] = {"role": "admin"}
    if auth.token_issuer:
        claims["iss"] = auth.token_issuer
    return PyJWT().encode(claims, auth.jwt_secret.get_secret_value(), SECRETS)


def _instead(auth: AuthSettings) -> str:
    if auth.is_on:
        return "Where tokens are checked by public keys, those who hold the private ones make them."
    return "In dev mode none is needed: send the user's id as 'X-User-ID: …'."

"""Tokens with a signature: whose are believed, and what they say.

The algorithm is fixed by the kind of key that we hold, never by what the token asks for: HS256 is checked
with the configured secret alone, ES256 and RS256 with a public key of that kind from the issuer's set alone.
No key comes from the token itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt

from orchestrator.core.errors import UnauthorizedError
from orchestrator.db.tables import LONGEST_OWNER_CHARS
from orchestrator.web.auth.caller import LOCAL_USER, NOBODY, SERVICE, Caller, Role
from orchestrator.web.auth.checked import Checked, CheckedTokens
from orchestrator.web.auth.credentials import is_user

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.core.clock import Clock
    from orchestrator.web.auth.key_set import KeySet

SIGN_IN_AGAIN: Final = "Sign in again for a new one."
SECONDS: Final = "It has to be a number of seconds since 1970."
LONGEST_TOKEN_CHARS: Final = 16 * 1024
LEEWAY_S: Final = 30.0  # how far two machines' clocks may be apart
SECRETS: Final = "HS256"  # the algorithm of a secret
PUBLIC_KEYS: Final = ("ES256", "RS256")
TIMES: Final = ("exp", "nbf")  # the claims that say when a token is valid
# A Supabase project's own two keys, of its old kind, are tokens without `aud`, and name no address as issuer.
PROJECT_ROLES: Final = {"anon": NOBODY, "service_role": SERVICE}
PROJECT_ISSUERS: Final = ("supabase", "supabase-demo")

Claims = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say to be meant for us."""

    audience: str
    issuer: str | None = None  # None: any
    is_supabase: bool = False  # whether a Supabase project issues them


class VerifiedTokens:
    """Believes tokens that are signed with a configured secret or by a key of the issuer's set."""

    def __init__(
        self, expected: Expected, clock: Clock, *, secret: str | None = None, key_set: KeySet | None = None
    ) -> None:
        self._expected = expected
        self._clock = clock
        self._secret = secret
        self._key_set = key_set
        self._checked = CheckedTokens()

    async def caller(self, token: str) -> Caller:
        """Who has this token.

        Raises:
            UnauthorizedError: it is not valid, not valid now, or not for this service.
            UnavailableError: the issuer's keys are not known yet, and cannot be fetched.
        """
        if not token.isascii():
            raise _wrong("it is no JSON Web Token", "Send the one that signing in gave, as it is.")
        if len(token) > LONGEST_TOKEN_CHARS:
            raise _wrong(
                f"it is longer than {LONGEST_TOKEN_CHARS} characters", "Keep large claims out of it."
            )
        checked = self._checked.find(token)
        if checked is None or await self._key(checked.algorithm, checked.key_id) is not checked.key:
            checked = await self._check(token)
            self._checked.keep(token, checked)
        check_times(checked.times, self._clock.time())
        return checked.caller

    async def _check(self, token: str) -> Checked:
        """What it says, once the signature is seen to be right."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise _wrong("it is no JSON Web Token", "Send the one that signing in gave, as it is.") from None
        algorithm, key_id = str(header.get("alg")), header.get("kid")
        key = await self._key(algorithm, key_id)
        claims = claims_of(token, key, algorithm)
        check_times(claims, self._clock.time())
        self._check_meant_for_us(claims)
        times: Claims = {name: claims[name] for name in TIMES if name in claims}
        return Checked(_caller(claims), times, algorithm, key_id, key)

    async def _key(self, algorithm: str, key_id: object) -> str | jwt.PyJWK:
        """What tokens of this algorithm have to be signed with now."""
        if algorithm == SECRETS and self._secret is not None:
            return self._secret
        if algorithm in PUBLIC_KEYS and self._key_set is not None:
            return await self._key_set.key(key_id, algorithm)
        known = [SECRETS] * (self._secret is not None) + [*PUBLIC_KEYS] * (self._key_set is not None)
        raise _wrong(
            "its algorithm is not one that this service checks",
            f"It has to be signed by {' or '.join(known)}.",
        )

    def _check_meant_for_us(self, claims: Claims) -> None:
        expected, is_project_key = self._expected, str(claims.get("role")) in PROJECT_ROLES
        issuers = [expected.issuer, *(PROJECT_ISSUERS if is_project_key and expected.is_supabase else ())]
        if expected.issuer is not None and claims.get("iss") not in issuers:
            raise _wrong("it is of another issuer (`iss`)", f"It has to be of {expected.issuer}.")
        if is_project_key and "aud" not in claims:
            return
        audiences = claims.get("aud")
        if expected.audience not in (audiences if isinstance(audiences, list) else [audiences]):
            raise _wrong("it is for another audience (`aud`)", f"It has to be for {expected.audience!r}.")


def claims_of(token: str, key: str | bytes | jwt.PyJWK, algorithm: str) -> Claims:
    """What a token says that ``key`` has signed with ``algorithm``; its times are not looked at.

    Raises:
        UnauthorizedError: the key has not signed it so.
    """
    try:
        claims: Claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            # Times are ours to check, by our own clock; the rest is checked by who knows what to expect.
            options={
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
                "verify_iss": False,
                "verify_sub": False,
                "verify_jti": False,
                "enforce_minimum_key_length": True,
            },
        )
    except (jwt.InvalidTokenError, jwt.InvalidKeyError):
        raise _wrong("its signature is not right") from None
    return claims


def check_times(claims: Mapping[str, Any], now: float) -> None:
    """See that the token is valid at ``now`` (seconds since 1970).

    Raises:
        UnauthorizedError: it is not yet, not any more, or says no end.
    """
    end = _moment(claims, "exp")
    if end is None:
        raise _wrong("it has no end (`exp`)", SECONDS)
    if end + LEEWAY_S <= now:
        raise UnauthorizedError("This token has expired. Sign in again.", code="token_expired")
    begin = _moment(claims, "nbf")
    if begin is not None and begin - LEEWAY_S > now:
        raise _wrong("it is not valid yet (`nbf`)", "Send it later, or set the clock right of who made it.")


def _caller(claims: Claims) -> Caller:
    role = claims.get("role")
    if isinstance(role, str) and role in PROJECT_ROLES:
        return PROJECT_ROLES[role]
    user = claims.get("sub")
    # This machine's own user is nobody's to be by a token: its data is what was made in dev mode.
    if not isinstance(user, str) or not is_user(user) or user == LOCAL_USER:
        raise _wrong(
            "its `sub` is not the id of a user",
            f"It takes 1 to {LONGEST_OWNER_CHARS} characters of text, and no name of the service's own.",
        )
    about_app = claims.get("app_metadata")
    # Users may write their own `user_metadata`; `app_metadata` is the issuer's alone.
    is_admin = isinstance(about_app, dict) and about_app.get("role") == "admin"
    return Caller.of_user(user, Role.ADMIN if is_admin else Role.USER)


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    moment = claims.get(name)
    if moment is None:
        return None
    if isinstance(moment, bool) or not isinstance(moment, int | float) or not math.isfinite(moment):
        raise _wrong(f"its `{name}` is no moment", SECONDS)
    return moment


def _wrong(reason: str, right: str = SIGN_IN_AGAIN) -> UnauthorizedError:
    return UnauthorizedError(f"This token is not valid: {reason}. {right}", code="token_invalid")

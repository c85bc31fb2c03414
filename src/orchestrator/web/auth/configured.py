"""Sign-in as the settings want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.web.auth.dev import BelievedTokens
from orchestrator.web.auth.key_ring import NoKeys
from orchestrator.web.auth.key_set import KeySet
from orchestrator.web.auth.links import Links
from orchestrator.web.auth.sign_in import SignIn
from orchestrator.web.auth.tokens import Expected, VerifiedTokens

if TYPE_CHECKING:
    from pydantic import SecretStr

    from orchestrator.core.clock import Clock
    from orchestrator.core.settings import AuthSettings
    from orchestrator.web.auth.key_ring import KeyRing
    from orchestrator.web.auth.sign_in import Tokens


def sign_in_of(
    auth: AuthSettings, clock: Clock, *, operator_token: str = "", keys: KeyRing | None = None
) -> SignIn:
    """Who is let in: by signed tokens where a secret or a JWKS address is set, in dev mode otherwise."""
    return SignIn(
        _tokens(auth, clock),
        is_dev=not auth.is_on,
        operator_token=operator_token,
        service_keys=auth.service_keys,
        anon_key=_text(auth.supabase_anon_key) or "",
        keys=keys or NoKeys(),
        api_key_header=auth.api_key_header,
        links=Links(_shared_secret(auth), clock),
    )


def _tokens(auth: AuthSettings, clock: Clock) -> Tokens:
    if not auth.is_on:
        return BelievedTokens()
    expected = Expected(auth.audience, auth.token_issuer, is_supabase=auth.supabase_url is not None)
    key_set = KeySet(auth.jwks_address, clock) if auth.jwks_address else None
    return VerifiedTokens(expected, clock, secret=_text(auth.jwt_secret), key_set=key_set)


def _shared_secret(auth: AuthSettings) -> str | None:
    """A secret that every process of this service has."""
    return next(filter(None, (_text(auth.jwt_secret), *auth.service_keys)), None)


def _text(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None

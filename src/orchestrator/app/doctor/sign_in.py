"""Sign-in: how it is done, and whether the issuer's keys can be had."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx2

from orchestrator.app.doctor.report import Check
from orchestrator.core.settings.auth import WHAT_TO_SET
from orchestrator.web.auth.key_set import shown_keys

if TYPE_CHECKING:
    from orchestrator.core.settings import AuthSettings

NAME = "sign-in"


def sign_in(auth: AuthSettings) -> Check:
    """Whether people can sign in."""
    if auth.jwks_address is None:
        return Check(
            NAME, "ok", auth.told, "" if auth.is_on else f"To serve other machines, set {WHAT_TO_SET}."
        )
    try:
        keys = asyncio.run(shown_keys(auth.jwks_address))
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError) as error:
        mend = "Check auth.jwks_url or SUPABASE_URL, and that its host can be reached from here."
        return Check(NAME, "broken", f"{auth.jwks_address} shows no keys: {error}", mend)
    if not keys and auth.jwt_secret is None:
        mend = "Have the issuer sign with ES256 or RS256, or set auth.jwt_secret for HS256."
        return Check(NAME, "broken", f"{auth.jwks_address} shows no key for ES256 or RS256", mend)
    return Check(NAME, "ok", auth.told)

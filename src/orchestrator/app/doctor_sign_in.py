"""What the doctor finds out about sign-in: whether the issuer's keys can be had."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx2

from orchestrator.web.auth.key_set import shown_keys

if TYPE_CHECKING:
    from orchestrator.core.settings import AuthSettings


def trouble(auth: AuthSettings) -> tuple[str, str]:
    """What is wrong, and how to mend it; two empty texts where nothing is."""
    if auth.jwks_address is None:
        return "", ""
    try:
        keys = asyncio.run(shown_keys(auth.jwks_address))
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError) as error:
        mend = "Check auth.jwks_url or SUPABASE_URL, and that its host can be reached from here."
        return f"{auth.jwks_address} shows no keys: {error}", mend
    if not keys and auth.jwt_secret is None:
        mend = "Have the issuer sign with ES256 or RS256, or set auth.jwt_secret for HS256."
        return f"{auth.jwks_address} shows no key for ES256 or RS256", mend
    return "", ""

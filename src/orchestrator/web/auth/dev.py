"""Dev mode: on this machine alone, everybody is who they say."""

from __future__ import annotations

import jwt

from orchestrator.web.auth.caller import NOBODY, Caller
from orchestrator.web.auth.credentials import is_user
from orchestrator.web.auth.sign_in import SignIn


class BelievedTokens:
    """Takes a token's ``sub`` as it stands: no signature is checked, and no role is believed."""

    async def caller(self, token: str) -> Caller:
        """The user whom the token names; nobody where it names none, or is no token at all."""
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            return NOBODY  # such as the YOUR_JWT_TOKEN of document 000
        user = claims.get("sub")
        return Caller.of_user(user) if isinstance(user, str) and is_user(user) else NOBODY


def dev_sign_in(operator_token: str = "") -> SignIn:
    """Sign-in while neither a secret nor a JWKS address is configured."""
    return SignIn(BelievedTokens(), is_dev=True, operator_token=operator_token)

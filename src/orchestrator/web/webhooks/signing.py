"""Signatures of Standard Webhooks 1.0: HMAC-SHA256 over the id, the time and the body."""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> str:
    """A secret as receivers' libraries take it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed(body: bytes, message_id: str, timestamp: int, by: Iterable[str]) -> dict[str, str]:
    """The headers of a message that is sent at ``timestamp`` (seconds since 1970), signed by each secret."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [
        base64.b64encode(hmac.digest(base64.b64decode(secret.removeprefix(PREFIX)), content, "sha256"))
        for secret in by
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature.decode()}" for signature in signatures),
    }

"""Identifiers."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

import uuid_utils

# Of a UUIDv7, below its 48 bits of milliseconds.
OTHER_BITS: Final = 80
VERSION_AND_VARIANT: Final = 0xF << 76 | 0b11 << 62
SEVEN: Final = 7 << 76 | 0b10 << 62


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as text: unique, and sorting by the time it was made."""
    return str(uuid_utils.uuid7())


def id_of(source: str, at_s: float) -> str:
    """The UUIDv7 of ``source`` and a moment (seconds since 1970): always the same."""
    digest = hashlib.sha256(source.encode()).digest()[: OTHER_BITS // 8]
    number = int(at_s * 1_000) << OTHER_BITS | int.from_bytes(digest, "big")
    return str(UUID(int=number & ~VERSION_AND_VARIANT | SEVEN))

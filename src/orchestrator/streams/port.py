"""The port: named streams of ordered entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``offset`` begins at 1 without gaps, ``at`` is in seconds since 1970, ``data`` is opaque."""

    offset: int
    at: float
    type: str
    key: str
    data: bytes


class Streams(Protocol):
    """Append, read from an offset, and wait for more. A stream exists from its first entry on."""

    async def append(self, stream: str, type: str, data: bytes, *, key: str = "") -> int:
        """Add an entry at the end; durable when this returns. Gives its offset."""
        ...

    async def read(self, stream: str, after: int = 0, limit: int = 1_000) -> list[Entry]:
        """Up to ``limit`` entries with offsets above ``after``."""
        ...

    def follow(self, stream: str, after: int = 0) -> AsyncIterator[Entry]:
        """Every entry above ``after``, for ever: first what is there, then each one as it becomes durable."""
        ...

    async def delete(self, stream: str) -> None:
        """Forget a stream and all its entries; nothing happens when there is none."""
        ...

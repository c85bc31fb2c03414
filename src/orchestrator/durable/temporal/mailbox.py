"""A run's signals on Temporal."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Mailbox:
    """A run's signals: kept until somebody receives them, in the order of arrival."""

    def __init__(self) -> None:
        self._letters: dict[str, deque[bytes]] = defaultdict(deque)
        self._readers: dict[str, deque[asyncio.Future[bytes]]] = defaultdict(deque)
        self._known: set[bytes] = set()

    def put(self, name: str, data: bytes, identity: bytes) -> None:
        """Hand a signal over, unless one of that identity came before."""
        if identity in self._known:
            return
        self._known.add(identity)
        readers = self._readers[name]
        while readers:
            reader = readers.popleft()
            if not reader.done():
                reader.set_result(data)
                return
        self._letters[name].append(data)

    def take(self, name: str, reader: asyncio.Future[bytes]) -> None:
        """Give the next signal of that name to ``reader``, now or when it comes."""
        if self._letters[name]:
            reader.set_result(self._letters[name].popleft())
        else:
            self._readers[name].append(reader)

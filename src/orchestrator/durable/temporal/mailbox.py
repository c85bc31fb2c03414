"""A run's signals on Temporal."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from orchestrator.durable.temporal.beginnings import Letter


class Mailbox:
    """A run's signals: kept until somebody receives them, in the order of arrival."""

    def __init__(self) -> None:
        self._letters: dict[str, deque[Letter]] = defaultdict(deque)
        self._readers: dict[str, deque[asyncio.Future[bytes]]] = defaultdict(deque)
        self._known: set[str] = set()

    def put(self, letter: Letter) -> None:
        """Hand a signal over, unless one of that identity came before."""
        if letter.identity in self._known:
            return
        self._known.add(letter.identity)
        readers = self._readers[letter.name]
        while readers:
            reader = readers.popleft()
            if not reader.done():
                reader.set_result(letter.data.encode())
                return
        self._letters[letter.name].append(letter)

    def take(self, name: str, reader: asyncio.Future[bytes]) -> None:
        """Give the next signal of that name to ``reader``, now or when it comes."""
        if self._letters[name]:
            reader.set_result(self._letters[name].popleft().data.encode())
        else:
            self._readers[name].append(reader)

    def forget_readers(self) -> None:
        """Keep what is still to come, whoever waits for it."""
        self._readers.clear()

    def start_anew(self) -> None:
        """Forget all but which signals came before, as those are not taken again."""
        self._letters.clear()
        self._readers.clear()

    @property
    def kept(self) -> tuple[Letter, ...]:
        """What nobody received."""
        return tuple(letter for letters in self._letters.values() for letter in letters)

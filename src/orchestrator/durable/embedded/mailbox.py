"""A run's signals: kept until its code receives them, in the order of their arrival."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from orchestrator.durable.entries import split_signal_key

if TYPE_CHECKING:
    import asyncio


class Mailbox:
    """What was sent to a run and not received yet, and who waits for more."""

    __slots__ = ("_known", "_letters", "_receivers")

    def __init__(self) -> None:
        self._letters: dict[str, deque[tuple[str, bytes]]] = {}
        self._receivers: dict[str, deque[asyncio.Future[bytes]]] = {}
        self._known: set[str] = set()

    def knows(self, signal_id: str | None) -> bool:
        """Whether a signal of that id came before; one without an id never did."""
        return signal_id is not None and signal_id in self._known

    def put(self, key: str, data: bytes) -> None:
        """Hand a signal, by its entry's key, to the first who waits for its name, or keep it."""
        signal_id, name = split_signal_key(key)
        if signal_id:
            self._known.add(signal_id)
        for receiver in self._receivers.get(name, ()):
            if not receiver.done():
                receiver.set_result(data)
                return
        self._letters.setdefault(name, deque()).append((key, data))

    def take(self, name: str, receiver: asyncio.Future[bytes]) -> None:
        """Let ``receiver`` have the next signal of that name: one that is kept, or the next to come."""
        letters = self._letters.get(name)
        if letters:
            receiver.set_result(letters.popleft()[1])
            return
        receivers = self._receivers.setdefault(name, deque())
        receivers.append(receiver)
        receiver.add_done_callback(partial(_leave, receivers))

    @property
    def awaited(self) -> list[str]:
        """The names of signals for which somebody waits."""
        return [name for name, waiting in self._receivers.items() if not all(one.done() for one in waiting)]

    @property
    def kept(self) -> list[tuple[str, bytes]]:
        """Keys and data of what nobody received."""
        return [letter for letters in self._letters.values() for letter in letters]


def _leave(receivers: deque[asyncio.Future[bytes]], receiver: asyncio.Future[bytes]) -> None:
    receivers.remove(receiver)

"""Who goes first where only one can go at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# However many are in a hurry, one in so many turns belongs to those who have time.
SHARE: Final = 8


class Precedence:
    """A lock that those in a hurry get before those who have time, each in the order in which they came."""

    def __init__(self) -> None:
        self._is_taken = False
        self._in_a_hurry = deque[asyncio.Future[None]]()
        self._with_time = deque[asyncio.Future[None]]()
        self._hurried = 0

    @property
    def patient(self) -> int:
        """How many of those who have time wait."""
        return len(self._with_time)

    @asynccontextmanager
    async def turn(self, *, has_time: bool = False) -> AsyncIterator[None]:
        """Go alone, once it is one's turn."""
        await self._come(self._with_time if has_time else self._in_a_hurry)
        try:
            yield
        finally:
            self._go()

    async def _come(self, line: deque[asyncio.Future[None]]) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come already
                self._go()
            with suppress(ValueError):
                line.remove(turn)
            raise

    def _go(self) -> None:
        while line := self._next():
            turn = line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False

    def _next(self) -> deque[asyncio.Future[None]]:
        self._hurried += 1
        if self._in_a_hurry and (self._hurried < SHARE or not self._with_time):
            return self._in_a_hurry
        self._hurried = 0
        return self._with_time

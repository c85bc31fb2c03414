"""Beginning heavy work no faster than the process keeps up."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Longer turns of the event loop are felt by everybody who asks for something small.
LONGEST_TURN_S: Final = 0.02
PAUSE_S: Final = 0.01
# However busy the process is, work goes on, if slowly.
LONGEST_WAIT_S: Final = 0.5


class Pace:
    """Has heavy work begin one after the other, and nothing new while what is under way falls behind.

    Then what waits is the heavy work, and not everything else. Who came first goes first, until somebody has
    waited for long: from then on more comes than can be done, and who came last goes first, so that some have
    all of their time, instead of each having waited until too little is left. Work that only waits for
    others, such as agents, does not hold up what comes after it.
    """

    def __init__(self, is_behind: Callable[[], bool], patience_s: float) -> None:
        """``is_behind`` says whether work waits for something else than the event loop.

        Who has waited for ``patience_s`` has waited for long.
        """
        self._is_behind = is_behind
        self._patience_s = patience_s
        self._waiting = deque[tuple[float, asyncio.Future[None]]]()
        self._is_taken = False

    async def turn(self) -> None:
        """Wait for one's turn."""
        await self._come()
        try:
            await self._calm()
        finally:
            self._go()

    async def _come(self) -> None:
        if not self._is_taken:
            self._is_taken = True
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        place = (loop.time(), turn)
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come already
                self._go()
            with suppress(ValueError):
                self._waiting.remove(place)
            raise

    def _go(self) -> None:
        while self._waiting:
            turn = self._next()
            if not turn.done():  # who goes away in this moment has not left its place yet
                turn.set_result(None)
                return
        self._is_taken = False

    def _next(self) -> asyncio.Future[None]:
        since, _ = self._waiting[0]
        is_first_come = asyncio.get_running_loop().time() - since < self._patience_s
        return (self._waiting.popleft() if is_first_come else self._waiting.pop())[1]

    async def _calm(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST_WAIT_S
        while await self._is_busy() and loop.time() < until:  # noqa: ASYNC110  # nothing tells of calm
            await asyncio.sleep(PAUSE_S)

    async def _is_busy(self) -> bool:
        return await _turn_s() > LONGEST_TURN_S or self._is_behind()


async def _turn_s() -> float:
    """How long all others take who have something to do now."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0)
    return loop.time() - began

"""Beginning heavy work no faster than the process keeps up."""

from __future__ import annotations

import asyncio
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

    Then what waits is the heavy work, and not everything else. Who came last goes first: where more comes
    than can be done, some have all of their time, instead of each having waited until too little is left.
    Work that only waits for others, such as agents, does not hold up what comes after it.
    """

    def __init__(self, is_behind: Callable[[], bool]) -> None:
        """``is_behind`` says whether work waits for something else than the event loop."""
        self._is_behind = is_behind
        self._waiting: list[asyncio.Future[None]] = []
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
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            else:  # it had come already
                self._go()
            raise

    def _go(self) -> None:
        self._is_taken = bool(self._waiting)
        if self._waiting:
            self._waiting.pop().set_result(None)

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

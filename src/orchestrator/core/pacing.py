"""Beginning heavy work no faster than the event loop keeps up."""

from __future__ import annotations

import asyncio
from typing import Final

# Longer turns of the event loop are felt by everybody who asks for something small.
LONGEST_TURN_S: Final = 0.02
PAUSE_S: Final = 0.01
# However busy the process is, work goes on, if slowly.
LONGEST_WAIT_S: Final = 0.5


class Pace:
    """Has heavy work begin one after the other, in the order in which it came.

    While turns of the event loop take long, what is under way goes on and nothing is added to it: then what
    waits is the heavy work, and not everything else. Work that only waits for others, such as agents, does
    not hold up what comes after it.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for one's turn."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            until = loop.time() + LONGEST_WAIT_S
            while await _turn_s() > LONGEST_TURN_S and loop.time() < until:  # noqa: ASYNC110 - nothing tells of calm
                await asyncio.sleep(PAUSE_S)


async def _turn_s() -> float:
    """How long all others take who have something to do now."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0)
    return loop.time() - began

"""The clock of the running event loop, in the hands of a test: whatever has a time limit there meets it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator

TURNS = 5  # of the loop, until what is due then has been done


class LoopClock:
    """Stands still until it is advanced."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        """Seconds, of the loop."""
        return self.now

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, and let happen what is due then."""
        self.now += seconds
        for _ in range(TURNS):
            await asyncio.sleep(0)


@contextmanager
def loop_clock() -> Iterator[LoopClock]:
    """The running loop goes by this clock while inside."""
    loop = asyncio.get_running_loop()
    clock = LoopClock(loop.time())
    with patch.object(loop, "time", clock.time):
        yield clock

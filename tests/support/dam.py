"""A dam before the disk: tests let one commit after the other pass, and act in between."""

from __future__ import annotations

import asyncio
import threading

PATIENCE_S = 30.0
# Enough turns of the loop for all that does not need the disk.
TURNS = 20


class Dam:
    """Give it to an engine as its ``fault``; nothing is held until ``close``."""

    def __init__(self) -> None:
        self._closed = False
        self._at_dam = threading.Semaphore(0)
        self._passing = threading.Semaphore(0)

    def __call__(self, point: str) -> None:
        """Hold the writer's thread before it writes."""
        if point == "before-write" and self._closed:
            self._at_dam.release()
            assert self._passing.acquire(timeout=PATIENCE_S)

    def close(self) -> None:
        """Hold each commit from now on."""
        self._closed = True

    async def held(self) -> None:
        """Until a commit is held, and the engine has done all that does not need it."""
        assert await asyncio.to_thread(self._at_dam.acquire, timeout=PATIENCE_S)
        await turns()

    async def next(self) -> None:
        """Let the held commit pass, and wait for the next one."""
        self._passing.release()
        await self.held()

    def open(self) -> None:
        """Let the held commit pass, and hold no other."""
        self._closed = False
        self._passing.release()


async def turns() -> None:
    """Let the loop do all that is ready."""
    for _ in range(TURNS):
        await asyncio.sleep(0)

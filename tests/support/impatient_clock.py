"""Time that never makes a test wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Wake

START_S = 1_795_000_000.0  # 2026-11-18; any moment would do


class ImpatientClock:
    """A clock that jumps to whatever moment somebody waits for, and else stands still.

    What is in the background never comes.
    """

    def __init__(self) -> None:
        self._now = START_S
        self.waited: list[float] = []

    def time(self) -> float:
        """Seconds since 1970."""
        return self._now

    def call_at(self, when: float, callback: Callable[[], None], *, background: bool = False) -> Wake:
        """Jump to ``when``, and call back at once."""

        def jump() -> None:
            self.waited.append(when - self._now)
            self._now = max(self._now, when)
            callback()

        wake = asyncio.get_running_loop().call_soon(jump)
        if background:
            wake.cancel()
        return wake

"""A clock that tests own: time stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Wake

# 2026-01-01 00:00:00 UTC: any moment will do, as long as it is always the same.
BEGINNING = 1_767_225_600.0


@dataclass(slots=True, order=True)
class _ManualWake:
    when: float
    number: int
    callback: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        self.callback = None

    def ring(self) -> None:
        if self.callback is not None:
            self.callback()


class ManualClock:
    """Keeps `orchestrator.core.clock.Clock`. ``asked`` counts the wake-ups that were asked for."""

    def __init__(self, now: float = BEGINNING) -> None:
        self.now = now
        self.asked = 0
        self._wakes: list[_ManualWake] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        """The time that the test has set, in seconds since 1970."""
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Wake:
        """Call back on the running loop once a test has moved the time to ``when``."""
        self.asked += 1
        wake = _ManualWake(when, next(self._numbers), callback)
        heapq.heappush(self._wakes, wake)
        self.set(self.now)
        return wake

    @property
    def next_wake(self) -> float | None:
        """When the earliest wake-up is due, if any was asked for."""
        return min((wake.when for wake in self._wakes if wake.callback is not None), default=None)

    def set(self, now: float) -> None:
        """Show this time from now on, also an earlier one, and wake who is due."""
        self.now = now
        while self._wakes and self._wakes[0].when <= self.now:
            asyncio.get_running_loop().call_soon(heapq.heappop(self._wakes).ring)

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass at once."""
        self.set(self.now + seconds)

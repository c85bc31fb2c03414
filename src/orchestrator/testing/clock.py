"""A clock that tests own: time stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.core.clock import utc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from orchestrator.core.clock import Wake

# 2026-01-01 00:00:00 UTC: any moment will do, as long as it is always the same.
BEGINNING = 1_767_225_600.0
# Ten waits of 0.1 s end a hair after one of 1 s, since seconds are floats. This much is the same moment.
SAME_MOMENT_S = 1e-4


@dataclass(slots=True, order=True)
class _ManualWake:
    when: float
    number: int
    callback: Callable[[], None] | None = field(compare=False)
    background: bool = field(compare=False)

    def cancel(self) -> None:
        self.callback = None

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it."""
        return self.callback is not None and not self.background

    def ring(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class ManualClock:
    """Give it to an engine, and no sleep, retry or deadline takes real time any more.

    ``await clock.advance(days=30)`` goes through all that happens in these days, one deadline after the
    other, and lets every engine that has this clock do its work before time goes on. ``now`` is in seconds
    since 1970, UTC; ``asked`` counts the wake-ups that were asked for.
    """

    def __init__(self, now: float = BEGINNING) -> None:
        self.now = now
        self.asked = 0
        self._wakes: list[_ManualWake] = []
        self._numbers = itertools.count()
        self._attending: list[Callable[[], Awaitable[None]]] = []

    def time(self) -> float:
        """The time that the test has set, in seconds since 1970."""
        return self.now

    @property
    def datetime(self) -> datetime:
        """The same time, as an aware datetime in UTC."""
        return utc(self.now)

    def call_at(self, when: float, callback: Callable[[], None], *, background: bool = False) -> Wake:
        """Call back on the running loop once a test has moved the time to ``when``.

        What is in the ``background``, such as housekeeping, is no deadline to go to.
        """
        self.asked += 1
        wake = _ManualWake(when, next(self._numbers), callback, background)
        heapq.heappush(self._wakes, wake)
        self.set(self.now)
        return wake

    def attend(self, settled: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Before time moves on, wait for ``settled()``; call what this gives to be waited for no more."""
        self._attending.append(settled)

        def leave() -> None:
            if settled in self._attending:
                self._attending.remove(settled)

        return leave

    @property
    def next_wake(self) -> float | None:
        """When the earliest wake-up is due for which somebody waits, if any was asked for."""
        self._drop_cancelled()
        return min((wake.when for wake in self._wakes if wake.awaited), default=None)

    async def advance(
        self,
        duration: timedelta | None = None,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Let that much time pass, and return when all that came due on the way has been done.

        Raises:
            ValueError: a time before now.
            TimeoutError: a step did not end; the message names it.
            JournalError: an engine's journal broke.
        """
        passing = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        passing += duration or timedelta()
        if passing < timedelta():
            raise ValueError(f"time does not go back by {-passing}; to set the clock itself use clock.set(…)")
        until = self.now + passing.total_seconds()
        await self.settle()
        while (due := self._next_call) is not None and due <= until + SAME_MOMENT_S:
            self.set(max(self.now, due))
            await self.settle()
        self.set(max(self.now, until))
        await self.settle()

    async def advance_to_next(self) -> timedelta:
        """Let time pass until the next deadline, and return how much that was, once all is done again.

        Raises:
            LookupError: nothing waits for time. Otherwise as ``advance``.
        """
        await self.settle()
        due = self.next_wake
        if due is None:
            raise LookupError("nothing waits for time: no sleep, no timeout and no retry is under way")
        passed = timedelta(seconds=max(0.0, due - self.now))
        self.set(max(self.now, due))
        await self.settle()
        return passed

    async def settle(self) -> None:
        """Wait until all that can be done at this moment has been done, by every engine with this clock.

        Raises:
            TimeoutError: a step did not end; the message names it.
            JournalError: an engine's journal broke.
        """
        await asyncio.sleep(0)  # who was woken takes note
        for settled in tuple(self._attending):
            await settled()

    def set(self, now: float) -> None:
        """Show this time at once, also an earlier one, and wake who is due. Waits for nobody."""
        self.now = now
        while self._wakes and self._wakes[0].when <= self.now:
            asyncio.get_running_loop().call_soon(heapq.heappop(self._wakes).ring)

    def jump(self, seconds: float) -> None:
        """Show a time that many seconds later at once, as where the machine slept. Waits for nobody."""
        self.set(self.now + seconds)

    @property
    def _next_call(self) -> float | None:
        self._drop_cancelled()
        return self._wakes[0].when if self._wakes else None

    def _drop_cancelled(self) -> None:
        while self._wakes and self._wakes[0].callback is None:
            heapq.heappop(self._wakes)

"""Deadlines of all runs on one heap, and one wake-up for the earliest."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Clock, Wake


@dataclass(slots=True, order=True)
class Alarm:
    """A deadline. ``ring`` is None once it was called off."""

    when: float
    number: int
    ring: Callable[[], None] | None = field(compare=False)


# Alarms that were called off stay on the heap until they are due, or until they are the larger part of it.
SWEPT_FROM = 1_000


class Alarms:
    """Calls back at deadlines, in their order; those of one moment in the order in which they were set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[Alarm] = []
        self._numbers = itertools.count()
        self._wake: Wake | None = None
        self._wake_when = float("inf")
        self._called_off = 0

    def set(self, when: float, ring: Callable[[], None]) -> Alarm:
        """Call ``ring`` once the clock shows ``when``."""
        alarm = Alarm(when, next(self._numbers), ring)
        heapq.heappush(self._heap, alarm)
        if when < self._wake_when:
            self._arm(when)
        return alarm

    def call_off(self, alarm: Alarm) -> None:
        """Have it not ring; harmless when it already did."""
        if alarm.ring is None:
            return
        alarm.ring = None
        self._called_off += 1
        if self._called_off > max(SWEPT_FROM, len(self._heap) // 2):
            self._heap = [kept for kept in self._heap if kept.ring is not None]
            heapq.heapify(self._heap)
            self._called_off = 0

    def tidy(self) -> None:
        """Have the clock wake us for an alarm that rings, not for one that was called off meanwhile."""
        while self._heap and self._heap[0].ring is None:
            heapq.heappop(self._heap)
            self._called_off = max(0, self._called_off - 1)
        if self._heap and self._heap[0].when > self._wake_when:
            self._arm(self._heap[0].when)
        elif not self._heap:
            self.stop()

    def stop(self) -> None:
        """Call off everything."""
        self._heap.clear()
        if self._wake is not None:
            self._wake.cancel()
            self._wake, self._wake_when = None, float("inf")

    def _arm(self, when: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake_when = when
        self._wake = self._clock.call_at(when, self._due)

    def _due(self) -> None:
        self._wake, self._wake_when = None, float("inf")
        now = self._clock.time()
        try:
            while self._heap and (self._heap[0].when <= now or self._heap[0].ring is None):
                alarm = heapq.heappop(self._heap)
                ring, alarm.ring = alarm.ring, None
                if ring is None:
                    self._called_off = max(0, self._called_off - 1)
                else:
                    ring()
        finally:
            # What rang may have set a later alarm than the next one here.
            if self._heap and self._heap[0].when < self._wake_when:
                self._arm(self._heap[0].when)

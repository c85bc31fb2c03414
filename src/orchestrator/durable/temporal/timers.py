"""A run's timers on Temporal, each known by the operation that asked for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from temporalio import workflow as temporal

from orchestrator.durable.context import next_place
from orchestrator.durable.temporal.deliveries import Source

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable

    from orchestrator.durable.temporal.clock import RunClock
    from orchestrator.durable.temporal.deliveries import Deliveries

# A server's timers count in milliseconds and refuse zero.
SHORTEST_TIMER_S = 0.001


@dataclass(slots=True)
class Timer:
    """A timer that has not fired: when it is due, what it does then, and its timer on the server."""

    due: float
    ring: Callable[[], object]
    on_server: asyncio.Task[None] | None = None


class Timers:
    """What a run's code waits for that is time.

    While the run is told what it begins with, no timer is on the server: those that are recorded as fired
    are fired by ``fire``, and ``begin`` has the server count what is left of the others.
    """

    def __init__(self, deliveries: Deliveries, clock: RunClock) -> None:
        self._deliveries = deliveries
        self._clock = clock
        self._timers: dict[str, Timer] = {}

    def set(self, key: str, due: float, ring: Callable[[], object]) -> None:
        """Deliver ``ring`` at that time of the run; the history knows the timer by ``key``."""
        timer = self._timers[key] = Timer(due, ring)
        if self._clock.is_live:
            self._start(key, timer)

    def call_off(self, key: str) -> None:
        """Forget a timer, if it has not fired."""
        timer = self._timers.pop(key, None)
        if timer is not None and timer.on_server is not None:
            timer.on_server.cancel()

    def __contains__(self, key: str) -> bool:
        return key in self._timers

    @property
    def keys(self) -> list[str]:
        """Of all that have not fired."""
        return list(self._timers)

    def fire(self, key: str) -> None:
        """Fire the timer of ``key`` now, as it was recorded."""
        self._timers.pop(key).ring()

    def put_off(self, seconds: float) -> None:
        """Have all that have not fired do so that much later."""
        for timer in self._timers.values():
            timer.due += seconds

    def begin(self) -> None:
        """Have the server count what is left of those that have not fired."""
        for key, timer in self._timers.items():
            self._start(key, timer)

    def _start(self, key: str, timer: Timer) -> None:
        seconds = max(timer.due - self._clock.now(), SHORTEST_TIMER_S)
        timer.on_server = asyncio.create_task(temporal.sleep(seconds, summary=key))
        timer.on_server.add_done_callback(lambda task: self._rang(key, timer, task))

    def _rang(self, key: str, timer: Timer, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return

        def deliver() -> None:
            if self._timers.pop(key, None) is timer:
                timer.ring()

        self._deliveries.add(Source.TIMER, deliver)


class PlainTimer(asyncio.TimerHandle):
    """A timer of plain asyncio, such as that of ``asyncio.timeout``: an operation like any other."""

    def __init__(  # what asyncio makes of it, and where it is known
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
        timers: Timers,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self._timers = timers
        self._key = f"{next_place()}:timer"
        timers.set(self._key, when, lambda: loop.call_soon(callback, *args, context=context))

    def cancel(self) -> None:
        """Call it off."""
        if not self.cancelled():
            self._timers.call_off(self._key)
            asyncio.Handle.cancel(self)


def keep_time(loop: asyncio.AbstractEventLoop, timers: Timers, clock: RunClock) -> None:
    """Have plain asyncio on a run's loop use the run's timers and time, as on the embedded engine.

    The SDK's loop is one per run. Its own timers have no key, and know nothing of what a run begins with.
    """

    def call_at(
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if when <= clock.now():
            return loop.call_soon(callback, *args, context=context)
        return PlainTimer(when, callback, args, loop, context, timers)

    def call_later(
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        return call_at(clock.now() + delay, callback, *args, context=context)

    loop.time = clock.now  # type: ignore[method-assign]
    loop.call_at = call_at  # type: ignore[method-assign, assignment]
    loop.call_later = call_later  # type: ignore[method-assign, assignment]

"""Sharing an event loop: much work that is ready at once is done a little at a time."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVarTuple, Unpack

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

Ts = TypeVarTuple("Ts")

# How long calls are made before everything else on the loop, such as web requests, gets its turn.
TURN_S = 0.002


class Turns:
    """Makes calls outside of any task, in the order in which they were added."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], object]] = deque()
        self._scheduled = False

    def add(self, call: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        """Call ``call(*args)`` after all that was added before."""
        self._calls.append(partial(call, *args) if args else call)
        self._schedule()

    def extend(self, calls: Iterable[Callable[[], object]]) -> None:
        """Make these calls after all that was added before."""
        self._calls.extend(calls)
        self._schedule()

    @property
    def is_idle(self) -> bool:
        """Whether all calls have been made."""
        return not self._calls

    def stop(self) -> None:
        """Forget what has not been called."""
        self._calls.clear()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._take)

    def _take(self) -> None:
        until = time.perf_counter() + TURN_S
        calls = self._calls
        while calls:
            call = calls.popleft()
            try:
                call()
            except Exception as error:  # noqa: BLE001  # one mistake must not keep the others waiting for ever
                self._loop.call_exception_handler({"message": f"error in {call}", "exception": error})
            if time.perf_counter() > until:
                break
        self._scheduled = False
        if calls:
            self._schedule()

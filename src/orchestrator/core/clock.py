"""Time, in one place, so that tests can own it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# A wall clock can be set while we wait, so a long wait looks at it again this often.
RECHECK_S = 60.0


class Wake(Protocol):
    """A wake-up that was asked for."""

    def cancel(self) -> None:
        """Make it not happen; harmless when it already has."""


class Clock(Protocol):
    """What time it is, and a call when it is later."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...

    def call_at(self, when: float, callback: Callable[[], None], *, background: bool = False) -> Wake:
        """Call back on the running event loop once ``time()`` has reached ``when``, never before.

        Nobody waits for what is in the ``background``: a clock that goes to the next call goes past it.
        """
        ...


@runtime_checkable
class PatientClock(Protocol):
    """A clock that moves only when those who live by it have nothing more to do at the present moment."""

    def attend(self, settled: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Before time moves on, wait for ``settled()``; call what this gives to be waited for no more."""
        ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None], *, background: bool = False) -> Wake:  # noqa: ARG002  # it never skips time
        """Call back once the wall clock shows ``when``, even if someone sets the clock meanwhile."""
        return _SystemWake(self, when, callback)


class _SystemWake:
    def __init__(self, clock: SystemClock, when: float, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._when = when
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._arm()

    def cancel(self) -> None:
        self._handle.cancel()

    def _arm(self) -> None:
        delay = max(0.0, self._when - self._clock.time())
        self._handle = self._loop.call_later(min(delay, RECHECK_S), self._look)

    def _look(self) -> None:
        if self._clock.time() >= self._when:
            self._callback()
        else:
            self._arm()


def utc(seconds: float) -> datetime:
    """The aware UTC datetime of ``seconds`` since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(moment: datetime) -> str:
    """``moment`` as RFC 3339 in UTC, to the microsecond where it has one, ending in Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

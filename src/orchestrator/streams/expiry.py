"""Streams of the journal's file that are forgotten when nobody appends to them for a while."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.journal import JournalError, Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Clock, Wake
    from orchestrator.journal import Group, Journal

SET_EXPIRY = Statement(
    3,
    "WITH expiry (stream, after_s, at) AS (VALUES {rows}) "
    "UPDATE streams SET expire_after_s = expiry.after_s, expires_at = expiry.at "
    "FROM expiry WHERE number = expiry.stream",
    3,
    keyed=True,
)

# Where nothing can be written when a stream's time is over, it is tried again after this long.
RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class Expiry:
    """How long a stream is kept after its last append, and until when that is."""

    number: int
    after_s: float
    at: float


class Expiries:
    """The streams that expire, by name, as they will be in the file."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        rows = journal.read(
            "SELECT name, number, expire_after_s, expires_at FROM streams WHERE expires_at IS NOT NULL"
        )
        self._expiries = {name: Expiry(*row) for name, *row in rows}
        # When to look at each. An append leaves the earlier time, at which the later one takes its place; in
        # the heap, times that are not those of here are void.
        self._looks = {name: expiry.at for name, expiry in self._expiries.items()}
        self._heap = [(at, name) for name, at in self._looks.items()]
        heapq.heapify(self._heap)

    @property
    def next_at(self) -> float | None:
        """When to look for a stream whose time is over, in seconds since 1970."""
        return self._heap[0][0] if self._heap else None

    def set(self, name: str, number: int, after_s: float | None, now: float) -> Group:
        """Stage how long a stream is kept after each append, and after now."""
        if after_s is None:
            self.drop(name)
            return self._journal.stage(SET_EXPIRY, (number, None, None))
        at = now + after_s
        if at < self._looks.get(name, math.inf):  # else the look that is planned sees to the later time
            self.look_at(name, at)
        return self._stage(name, Expiry(number, after_s, at))

    def renew(self, name: str, now: float) -> None:
        """Stage that a stream was appended to."""
        expiry = self._expiries.get(name)
        if expiry is not None:
            self._stage(name, Expiry(expiry.number, expiry.after_s, now + expiry.after_s))

    def drop(self, name: str) -> None:
        """The stream is deleted, or to be kept."""
        self._expiries.pop(name, None)
        self._looks.pop(name, None)

    def is_over(self, name: str, now: float) -> bool:
        """Whether the stream is to be forgotten by now."""
        expiry = self._expiries.get(name)
        return expiry is not None and expiry.at <= now

    def over(self, now: float) -> list[str]:
        """The streams that are to be forgotten by now; each is told once."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, name = heapq.heappop(self._heap)
            if self._looks.get(name) != at:
                continue
            if self.is_over(name, now):
                found.append(name)
            else:
                self.look_at(name, self._expiries[name].at)
        return found

    def look_at(self, name: str, at: float) -> None:
        """Look whether that stream's time is over then, and not before."""
        self._looks[name] = at
        heapq.heappush(self._heap, (at, name))

    def _stage(self, name: str, expiry: Expiry) -> Group:
        self._expiries[name] = expiry
        return self._journal.stage(SET_EXPIRY, (expiry.number, expiry.after_s, expiry.at))


class Sweep:
    """Forgets streams when their time is over, while the journal is open."""

    def __init__(
        self, journal: Journal, clock: Clock, expiries: Expiries, forget: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._expiries = expiries
        self._forget = forget
        self._wake: Wake | None = None
        journal.listen(lambda _: None, lambda _: self._stop())
        self.plan()

    def plan(self) -> None:
        """Wake up when the next stream's time may be over."""
        self._stop()
        at = self._expiries.next_at
        if at is not None:
            self._wake = self._clock.call_at(at, self._sweep, background=True)

    def _stop(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None

    def _sweep(self) -> None:
        for name in self._expiries.over(self._clock.time()):
            try:
                self._forget(name)
            except JournalError:
                self._expiries.look_at(name, self._clock.time() + RETRY_S)
        self.plan()

"""What one group has handed out. Memory is ahead of the file by what is staged; the file follows."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.journal import Journal, JournalError
    from orchestrator.streams.log import Extent
    from orchestrator.streams.port import Entry


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """An entry that was handed out and not acknowledged. A new one takes its place when it is claimed."""

    consumer: str
    at: float
    count: int


class Ledger:
    """A group of one stream: how far it has read, who holds what, and who waits.

    ``held`` is in the order in which things were last handed out, so whoever looks for what is idle begins
    with the longest idle, and ends at the first that is not.
    """

    def __init__(self, number: int, stream: int, name: str, position: int, extent: Extent) -> None:
        self.number = number
        self.stream = stream
        self.name = name
        self.position = max(position, extent.trimmed)
        self.held: dict[int, Held] = {}
        self.gone = False
        self._end = extent.end
        self._trimmed = extent.trimmed
        self._loading = asyncio.Lock()
        self._loaded = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def load(self, journal: Journal) -> None:
        """Read what was held when the file was last closed; nothing when that was done."""
        async with self._loading:
            if self._loaded:
                return
            rows = await journal.fetch(
                "SELECT offset, consumer, at, count FROM deliveries WHERE consumer_group = ? "
                "ORDER BY at, offset",
                (self.number,),
            )
            self.held = {offset: Held(*held) for offset, *held in rows if offset > self._trimmed}
            self._loaded = True

    @property
    def lag(self) -> int:
        """How many entries are still to be read."""
        return max(0, self._end - self.position)

    def take(self, limit: int) -> range:
        """The offsets of the next entries, which count as read from now on."""
        first = self.position + 1
        self.position += min(limit, self.lag)
        return range(first, self.position + 1)

    def pass_on(self) -> None:
        """Wake one of those who wait if there is something for him.

        One is woken for each entry that comes, and by whoever was and takes less than there is, or goes away;
        so a crowd that waits is not woken for one entry, and no entry is left lying.
        """
        while self.lag and self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                break

    def hold(self, offset: int, held: Held) -> None:
        """Note who was handed an entry, and when."""
        self.held.pop(offset, None)
        self.held[offset] = held

    def idle(self, now: float, idle_s: float, limit: int, held_by: str | None) -> dict[int, Held]:
        """What was handed out at least ``idle_s`` seconds ago."""
        found: dict[int, Held] = {}
        for offset, held in self.held.items():
            if now - min(held.at, now) >= idle_s:
                if held_by is None or held.consumer == held_by:
                    found[offset] = held
                    if len(found) == limit:
                        break
            elif held.at <= now:
                break
            # Else the clock was set back since: nothing is known of those behind.
        return found

    def trimmed(self, upto: int) -> None:
        """The entries up to that offset are trimmed."""
        self._trimmed = upto
        self.position = max(self.position, upto)
        for offset in [offset for offset in self.held if offset <= upto]:
            del self.held[offset]

    async def changed(self, clock: Clock, deadline: float | None) -> None:
        """Until there may be something to read, or the group came to its end, or that time has come."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        wake = None if deadline is None else clock.call_at(deadline, partial(_wake, waiting))
        try:
            await waiting
        finally:
            if wake is not None:
                wake.cancel()
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def push(self, entry: Entry) -> None:
        """An entry became durable."""
        self._end = max(self._end, entry.offset)
        self.pass_on()

    def end(self) -> None:
        """The group is no more."""
        self.gone = True
        self._wake_all()

    def fail(self, error: JournalError) -> None:
        """Let those who wait see that the journal ended."""
        del error  # which the journal tells whoever asks it next
        self._wake_all()

    def _wake_all(self) -> None:
        while self._waiting:
            _wake(self._waiting.popleft())


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)

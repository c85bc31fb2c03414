"""Where tests of streams open a backend, let time pass, and take the power away."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from orchestrator.core.clock import SystemClock
from orchestrator.journal import Journal
from orchestrator.streams import EmbeddedStreams, RedisStreams
from orchestrator.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from orchestrator.streams import Streams

# Turns of the loop in which what can go on without the disk goes on.
TURNS = 20


class StreamLab(Protocol):
    """One backend with its data, and a clock that the test owns."""

    @property
    def streams(self) -> Streams:
        """The backend as it is open now."""
        ...

    def now(self) -> float:
        """What the backend takes for the time, in seconds since 1970."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """Let so much time pass at once."""
        ...

    async def turns(self) -> None:
        """Let tasks that were begun come to where they wait."""
        ...

    async def restart(self) -> None:
        """Close everything and open the same data again."""
        ...


def _no_fault(point: str) -> None:
    """The power stays on."""


class EmbeddedLab:
    """The embedded backend on a file."""

    def __init__(self, path: Path, fault: Callable[[str], None] = _no_fault) -> None:
        self.clock = ManualClock()
        self.path = path
        self._fault = fault
        self._open()

    def _open(self) -> None:
        self.journal = Journal(self.path, self._fault)
        self.streams = EmbeddedStreams(self.journal, self.clock)

    def now(self) -> float:
        """The clock's time."""
        return self.clock.now

    async def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        await self.clock.advance(seconds=seconds)

    async def turns(self) -> None:
        """Let tasks that were begun come to where they wait."""
        await turns()

    async def restart(self) -> None:
        """Close the file and open it."""
        await self.journal.close()
        self._open()

    def crash(self) -> None:
        """Open the file as a crash leaves it."""
        self.journal.abandon()
        self._open()

    async def close(self) -> None:
        """Close the file."""
        await self.journal.close()


class RedisLab:
    """Streams in Redis, under a prefix of the lab's own."""

    def __init__(self, url: str) -> None:
        self.clock = ManualClock()
        self.url = url
        self.prefix = f"lab-{uuid.uuid4()}"
        self._open()

    def _open(self) -> None:
        self.streams = self.another()

    def another(self) -> RedisStreams:
        """The same streams as another process has them."""
        return RedisStreams(self.url, clock=self.clock, prefix=self.prefix)

    def now(self) -> float:
        """The clock's time."""
        return self.clock.now

    async def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        await self.clock.advance(seconds=seconds)

    async def turns(self) -> None:
        """Let tasks that were begun come to where they wait: what they ask for is answered in order."""
        news = self.streams._store.news
        for _ in range(3):
            await turns()
            await self.streams.groups("")
            await asyncio.gather(*[channel.confirmed.wait() for channel in news._channels.values()])

    async def restart(self) -> None:
        """Close the connections and open others."""
        await self.streams.close()
        self._open()

    async def close(self) -> None:
        """Close the connections."""
        await self.streams.close()


@asynccontextmanager
async def on_redis(url: str) -> AsyncIterator[RedisLab]:
    """Streams in that Redis, closed afterwards."""
    lab = RedisLab(url)
    try:
        yield lab
    finally:
        await lab.close()


@asynccontextmanager
async def embedded(path: Path) -> AsyncIterator[EmbeddedLab]:
    """The embedded backend, closed afterwards."""
    lab = EmbeddedLab(path / "streams.db")
    try:
        yield lab
    finally:
        await lab.close()


@asynccontextmanager
async def embedded_streams(path: Path) -> AsyncIterator[EmbeddedStreams]:
    """Streams in that file by the machine's own time, closed afterwards."""
    journal = Journal(path)
    try:
        yield EmbeddedStreams(journal, SystemClock())
    finally:
        await journal.close()


async def turns() -> None:
    """Let tasks that were begun come to where they wait."""
    for _ in range(TURNS):
        await asyncio.sleep(0)

"""The embedded streams beside those in Redis, each on this machine's disk, one after the other."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.figures import Spread, spread
from benchmarks.processes import LOOPBACK, Server, free_ports
from orchestrator.core.clock import SystemClock
from orchestrator.journal import Journal
from orchestrator.streams import EmbeddedStreams, NewEntry, RedisStreams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from orchestrator.streams import Streams

DATA = b"x" * 200
ALONE = 1_000
AT_ONCE = 100
ROUNDS = 50
TAKEN_AT_ONCE = 100
MS = 1_000


@dataclass(frozen=True, slots=True)
class Backend:
    """What one backend did: milliseconds of single calls, and entries a second."""

    name: str
    append_ms: Spread | None
    seen_ms: Spread | None
    at_once: float
    together: float
    worked_on: float


def measure_backends(directory: Path) -> list[Backend]:
    """Measure the embedded streams, and Redis with each durability where it is installed."""
    found = [asyncio.run(_measure_embedded(directory))]
    if shutil.which("redis-server"):
        for sync in ("always", "everysec"):
            folder = directory / f"redis-{sync}"
            folder.mkdir()
            with _redis(folder, sync) as url:
                found.append(asyncio.run(_measure_redis(url, f"Redis, synced {sync}")))
    return found


def backends_table(backends: Sequence[Backend]) -> Table:
    """One row for each backend."""
    table = Table()
    titles = ("append p50\nms", "p99\nms", "append to\nfollower p50 ms", "p99\nms")
    for title in ("", *titles, "appends/s\n100 at once", "100 in\none call", "read, ack\n100 each"):
        table.add_column(title, justify="right" if title else "left")
    for each in backends:
        figures = [
            f"{value:,.2f}"
            for found in (each.append_ms, each.seen_ms)
            if found is not None
            for value in (found.p50, found.p99)
        ]
        rates = (f"{rate:,.0f}" for rate in (each.at_once, each.together, each.worked_on))
        table.add_row(each.name, *figures, *rates)
    return table


async def _measure_embedded(directory: Path) -> Backend:
    async with _journal(directory / "streams.db") as journal:
        return await _measure("embedded", EmbeddedStreams(journal, SystemClock()))


async def _measure_redis(url: str, name: str) -> Backend:
    async with RedisStreams(url) as streams:
        return await _measure(name, streams)


async def _measure(name: str, streams: Streams) -> Backend:
    append_ms, seen_ms = await _one_at_a_time(streams)
    began = time.perf_counter()
    for _ in range(ROUNDS):
        await asyncio.gather(*[streams.append("work", "job", DATA) for _ in range(AT_ONCE)])
    at_once = ROUNDS * AT_ONCE / (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(ROUNDS):
        await streams.append_all("work", [NewEntry("job", DATA)] * AT_ONCE)
    together = ROUNDS * AT_ONCE / (time.perf_counter() - began)
    return Backend(name, append_ms, seen_ms, at_once, together, await _work(streams))


async def _one_at_a_time(streams: Streams) -> tuple[Spread | None, Spread | None]:
    """Milliseconds until an append returns, and until a follower has the entry."""
    entries = aiter(streams.follow("alone"))
    append_ms, seen_ms = [], []
    for _ in range(ALONE):
        seen = asyncio.ensure_future(anext(entries))
        began = time.perf_counter()
        await streams.append("alone", "job", DATA)
        append_ms.append((time.perf_counter() - began) * MS)
        await seen
        seen_ms.append((time.perf_counter() - began) * MS)
    return spread(append_ms), spread(seen_ms)


async def _work(streams: Streams) -> float:
    """Entries a second that one consumer reads and acknowledges."""
    group = await streams.group("work", "g")
    count, began = 0, time.perf_counter()
    while got := await group.read("ada", TAKEN_AT_ONCE, wait_s=0):
        count += await group.ack(*[delivery.offset for delivery in got])
    return count / (time.perf_counter() - began)


@asynccontextmanager
async def _journal(path: Path) -> AsyncIterator[Journal]:
    journal = Journal(path)
    try:
        yield journal
    finally:
        await journal.close()


@contextmanager
def _redis(folder: Path, sync: str) -> Iterator[str]:
    """A Redis server with an append-only file, while inside."""
    (port,) = free_ports(1)
    settings = ("--appendonly", "yes", "--appendfsync", sync, "--save", "")
    command = ["redis-server", "--bind", LOOPBACK, "--port", str(port), "--dir", str(folder), *settings]
    server = Server(command, log=folder / "redis.log", environment={})
    try:
        server.wait_until_listening(port)
        yield f"redis://{LOOPBACK}:{port}"
    finally:
        server.stop()

"""Thousands of event-stream watchers in one light process: bare sockets, no HTTP library.

Speaks with its driver by lines: it prints `connected` once every watcher is attached, and one line of JSON
when every watcher has all its events or time is up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import suppress
from typing import cast

import uvloop
from pydantic import BaseModel

from benchmarks.figures import Spread, spread
from benchmarks.processes import LOOPBACK
from benchmarks.streams.limits import allow_many_sockets

CONNECTING_AT_ONCE = 100
DATA = b"data: "


class Watched(BaseModel):
    """What the watchers saw."""

    delays_ms: Spread | None
    """From the moment each event was due until it was read from the socket."""
    missing: int
    """Events that did not arrive."""


class Watcher(asyncio.Protocol):
    """One connection that asks for a run's events and notes how late each one comes."""

    def __init__(self, run: int, events: int) -> None:
        self._run = run
        self._rest = b""
        self._answered = asyncio.get_running_loop().create_future()
        self._awaited = events
        self.done = asyncio.Event()
        self.delays_ms: list[float] = []

    async def attached(self) -> None:
        """Wait for the head of the answer.

        Raises:
            RuntimeError: The service refused or hung up.
        """
        await self._answered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        head = f"GET /ticks/{self._run} HTTP/1.1\r\nHost: {LOOPBACK}\r\nAccept: text/event-stream\r\n\r\n"
        cast("asyncio.Transport", transport).write(head.encode())

    def data_received(self, data: bytes) -> None:
        """Note the delay of every event that `data` completes."""
        now = time.time()
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not self._answered.done():
            self._judge(lines[0])
        self.delays_ms += [
            (now - json.loads(line[len(DATA) :])["due"]) * 1000 for line in lines if line.startswith(DATA)
        ]
        if len(self.delays_ms) >= self._awaited:
            self.done.set()

    def _judge(self, status_line: bytes) -> None:
        if b" 200 " in status_line:
            self._answered.set_result(None)
        else:
            self._answered.set_exception(RuntimeError(f"the service answered {status_line.decode()!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        if not self._answered.done():
            self._answered.set_exception(exc or RuntimeError("the service hung up"))
        self.done.set()


async def watch(port: int, watchers: int, runs: int, events: int, limit_s: float) -> Watched:
    """Attach all watchers, spread over the runs, and collect until each has its events or time is up."""
    loop = asyncio.get_running_loop()
    places = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def attach(run: int) -> Watcher:
        async with places:
            _, watcher = await loop.create_connection(lambda: Watcher(run, events), LOOPBACK, port)
            await watcher.attached()
        return watcher

    attached = await asyncio.gather(*(attach(number % runs) for number in range(watchers)))
    print("connected", flush=True)
    with suppress(TimeoutError):  # what is missing then is counted
        async with asyncio.timeout(limit_s):
            await asyncio.gather(*(watcher.done.wait() for watcher in attached))
    delays_ms = [delay for watcher in attached for delay in watcher.delays_ms]
    return Watched(delays_ms=spread(delays_ms), missing=watchers * events - len(delays_ms))


def main() -> None:
    """Watch what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "watchers", "runs", "events"):
        parser.add_argument(name, type=int)
    parser.add_argument("limit_s", type=float)
    arguments = parser.parse_args()
    allow_many_sockets()
    print(uvloop.run(watch(**vars(arguments))).model_dump_json(), flush=True)


if __name__ == "__main__":
    main()

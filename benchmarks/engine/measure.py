"""Measure one engine in this process and write what was found into a file beside the engine's own."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from pydantic import BaseModel

from benchmarks.engine.peer import STEPS
from benchmarks.processes import own_peak_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.engine.peer import Peer, Runner

AT_ONCE = (1, 50, 500)
WARM_UP_S = 0.5
ANSWER_FILE = "measurement.json"
PEERS = {
    "ours": "benchmarks.engine.ours:Ours",
    "ours-models": "benchmarks.engine.ours:OursWithModels",
    "langgraph": "benchmarks.engine.langgraph_sqlite:LangGraphSqlite",
    "dbos": "benchmarks.engine.dbos_sqlite:DbosSqlite",
    "temporal": "benchmarks.engine.temporal_server:TemporalServer",
    "restate": "benchmarks.engine.restate_server:RestateServer",
}


class Measurement(BaseModel):
    """One visit to one engine."""

    name: str
    durability: str
    versions: dict[str, str]
    per_second: dict[int, float]
    """Workflows completed per second, by how many ran at once."""
    latencies_ms: list[float]
    """How long each took when one ran at a time."""
    peak_bytes: int
    """Most memory of the measuring process plus that of its servers."""


async def keep_busy(
    peer: Runner, at_once: int, seconds: float, numbers: Iterator[int]
) -> tuple[float, list[float]]:
    """Keep `at_once` workflows running for `seconds`, then let them end.

    Returns:
        Workflows completed per second until the last one ended, and how many ms each took.

    Raises:
        RuntimeError: A workflow gave another result than its five steps make.
    """
    latencies_ms: list[float] = []
    began = time.perf_counter()

    async def one_after_another() -> None:
        while (start := time.perf_counter()) < began + seconds:
            number = next(numbers)
            if await peer.run_one(number) != number + STEPS:
                raise RuntimeError(f"{peer.name}: workflow {number} did not do its five steps")
            latencies_ms.append((time.perf_counter() - start) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_another())
    return len(latencies_ms) / (time.perf_counter() - began), latencies_ms


async def measure(peer: Peer, directory: Path, seconds: float) -> Measurement:
    """Open the engine, warm it up, and measure it at each level of concurrency."""
    numbers = itertools.count(1)
    await peer.prepare(directory)
    per_second: dict[int, float] = {}
    latencies_ms: list[float] = []
    try:
        await keep_busy(peer, 1, WARM_UP_S, numbers)
        for at_once in AT_ONCE:
            per_second[at_once], times_ms = await keep_busy(peer, at_once, seconds, numbers)
            latencies_ms = latencies_ms or times_ms
        durability = await peer.durability()
    finally:
        servers_peak_bytes = await peer.close()
    return Measurement(
        name=peer.name,
        durability=durability,
        versions={package: version(package) for package in peer.packages},
        per_second=per_second,
        latencies_ms=latencies_ms,
        peak_bytes=own_peak_bytes() + servers_peak_bytes,
    )


def main() -> None:
    """Measure the engine named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    module, _, name = PEERS[arguments.peer].partition(":")
    peer = getattr(importlib.import_module(module), name)()
    measurement = uvloop.run(measure(peer, arguments.directory, arguments.seconds))
    (arguments.directory / ANSWER_FILE).write_text(measurement.model_dump_json())
    os._exit(0)  # threads that an engine left behind do not hold up the next one


if __name__ == "__main__":
    main()

"""An engine that opens a journal: when it is ready, and what it does then. Prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import uvloop
from pydantic import BaseModel

from benchmarks.processes import own_peak_bytes
from benchmarks.scale.programs import Steps, count, engine_on


class Opened(BaseModel):
    """How long an engine took from its making to being open, and to the first result of a new run."""

    ready_s: float
    first_result_s: float
    open_runs: int
    peak_bytes: int


class Throughput(BaseModel):
    """Five-step workflows per second, 50 at once."""

    per_second: float


async def ready(path: Path) -> Opened:
    """Open once."""
    began = time.perf_counter()
    async with engine_on(path, Steps()) as engine:
        ready_s = time.perf_counter() - began
        await (await engine.start(count, 0)).result()
        return Opened(
            ready_s=ready_s,
            first_result_s=time.perf_counter() - began,
            open_runs=engine.active,
            peak_bytes=own_peak_bytes(),
        )


async def throughput(path: Path, workflows: int, at_once: int = 50) -> Throughput:
    """Run workflows for a while."""
    async with engine_on(path, Steps()) as engine:

        async def client(each: int) -> None:
            for number in range(each):
                await (await engine.start(count, number)).result()

        await asyncio.gather(*[client(10) for _ in range(at_once)])
        began = time.perf_counter()
        await asyncio.gather(*[client(workflows // at_once) for _ in range(at_once)])
        return Throughput(per_second=workflows / (time.perf_counter() - began))


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--workflows", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.workflows:
        print(uvloop.run(throughput(arguments.path, arguments.workflows)).model_dump_json())
    else:
        print(uvloop.run(ready(arguments.path)).model_dump_json())


if __name__ == "__main__":
    main()

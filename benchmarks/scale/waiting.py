"""Very many runs that wait: started by one engine, weighed, and some of them signalled. Prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path

import uvloop
from pydantic import BaseModel

from benchmarks.processes import own_peak_bytes, resident_bytes
from benchmarks.scale.programs import Steps, engine_on, wait

STARTED_AT_ONCE = 500
SIGNAL_EVERY_S = 0.005


class Waiting(BaseModel):
    """What one process held while it had so many waiting runs, and how fast signals woke some of them."""

    runs: int
    started_s: float
    resident_bytes: int
    peak_bytes: int
    wake_s: list[float]


async def measure(path: Path, runs: int, signals: int) -> Waiting:
    """Start the runs, weigh the process, then wake some of them, one every five milliseconds."""
    steps = Steps()
    began = time.perf_counter()
    async with engine_on(path, steps) as engine:

        async def start(numbers: range) -> None:
            for number in numbers:
                await engine.start(wait, number, id=f"run-{number}")

        await asyncio.gather(
            *[start(range(first, runs, STARTED_AT_ONCE)) for first in range(STARTED_AT_ONCE)]
        )
        await engine.settled(within=60.0)
        started_s = time.perf_counter() - began
        resident = resident_bytes(os.getpid())
        peak = own_peak_bytes()
        sent: dict[int, float] = {}
        for number in range(0, runs, max(1, runs // signals)):
            run = await engine.get(f"run-{number}")
            sent[number + 1] = time.perf_counter()
            await run.signal("go", number)
            await asyncio.sleep(SIGNAL_EVERY_S)
        await engine.settled()
        return Waiting(
            runs=runs,
            started_s=started_s,
            resident_bytes=resident,
            peak_bytes=peak,
            wake_s=[steps.woke[number] - at for number, at in sent.items()],
        )


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--signals", type=int, required=True)
    arguments = parser.parse_args()
    print(uvloop.run(measure(arguments.path, arguments.runs, arguments.signals)).model_dump_json())


if __name__ == "__main__":
    main()

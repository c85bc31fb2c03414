"""Runs in flight: begun by a process that is killed, and resumed by the next one. Says when they are."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import uvloop

from benchmarks.scale.programs import Steps, engine_on, hold

IN_FLIGHT = "in flight"


async def toil(path: Path, runs: int, *, start: bool) -> None:
    """Have so many runs each in a step that does not end, and say so; then wait for the end."""
    steps = Steps()
    steps.awaited = runs
    async with engine_on(path, steps, most_steps_at_once=runs) as engine:
        if start:
            await asyncio.gather(*[engine.start(hold, number) for number in range(runs)])
        await steps.resumed.wait()
        print(IN_FLIGHT, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Go on until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--start", action="store_true")
    arguments = parser.parse_args()
    uvloop.run(toil(arguments.path, arguments.runs, start=arguments.start))


if __name__ == "__main__":
    main()

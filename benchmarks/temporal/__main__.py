"""Five-step no-op workflows on Temporal: through this project's adapter, and in plain code of Temporal's SDK.

Usage: `python -m benchmarks.temporal [--rounds N] [--seconds S]`. Both run in this process, on one server for
development, with the same options of the worker, in rounds A B A B …, so that a machine that slows down for a
while slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.engine.measure import WARM_UP_S, keep_busy
from benchmarks.engine.temporal_server import TemporalDevServer
from benchmarks.paths import scratch
from benchmarks.temporal.peers import Adapter, Plain
from benchmarks.temporal.report import AT_ONCE, Round, print_report


async def measure(rounds: int, seconds: float) -> dict[str, list[Round]]:
    """Measure both in turn; what was found, by name."""
    numbers = itertools.count(1)
    found: dict[str, list[Round]] = {}
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(TemporaryDirectory(dir=scratch()))
        server = stack.enter_context(TemporalDevServer(Path(directory)))
        await server.until_ready()
        for number in range(1, rounds + 1):
            for make in (Adapter, Plain):
                print(f"round {number} of {rounds}: {make.name}", file=sys.stderr, flush=True)
                async with make(server.address, f"{make.__name__}-{number}") as peer:
                    await keep_busy(peer, max(AT_ONCE), WARM_UP_S, numbers)
                    visit = Round()
                    for at_once in AT_ONCE:
                        busy_before_s = time.process_time()
                        rate, times_ms = await keep_busy(peer, at_once, seconds, numbers)
                        busy_ms = (time.process_time() - busy_before_s) * 1000
                        visit.per_second[at_once] = rate
                        visit.latencies_ms[at_once] = times_ms
                        visit.processor_ms[at_once] = busy_ms / len(times_ms)
                found.setdefault(make.name, []).append(visit)
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each level of concurrency")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measure(arguments.rounds, arguments.seconds))
    print_report(found, rounds=arguments.rounds)


if __name__ == "__main__":
    main()

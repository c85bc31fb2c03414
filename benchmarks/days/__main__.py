"""Daily learning under the load of many learners, on SQLite and on PostgreSQL.

Usage: `python -m benchmarks.days [--learners N] [--seconds S] [--databases NAME …]`, `tests` on PYTHONPATH.
The service, its agents and the load are processes of their own; each learner makes one call every 3 s.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.days.load import PERIOD_S, Order
from benchmarks.days.report import Measured, Step, holds, print_report
from benchmarks.days.services import DATABASES, Agents, Load, service, tables
from benchmarks.paths import scratch

WARM_UP_S = 2 * PERIOD_S
STEP_S = 4 * PERIOD_S
FEWEST = 50
MOST_STEPS = 4
LARGEST_FACTOR = 3  # times the learners asked for: beyond is another machine's matter
ILL = ("ta=down", "alex=slow", "socratic=flapping")


def measure(directory: Path, database: str, learners: int, seconds: float) -> Measured:
    """All measurements on one database, with one service."""
    with (
        tables(database, directory) as settings,
        Agents(directory) as agents,
        service(directory, settings, agents.url) as port,
        Load(port) as load,
    ):
        say(f"{database}: {learners} learners prepare")
        prepared = load.do(Order(kind="prepare", learners=learners))
        say(f"{database}: {learners} learners for {seconds:.0f} s")
        busy = os.getloadavg()[0]
        living = Step(learners, load.do(live(learners, seconds)))
        steps = saturate(load, database, learners, is_held=holds(living))
        most = max((step.learners for step in [living, *steps] if holds(step)), default=FEWEST)
        say(f"{database}: repeats")
        repeated = load.do(Order(kind="repeat", learners=learners))
        well = min(most, learners)
        say(f"{database}: {well} learners with {', '.join(ILL)}")
        agents.become(*ILL)
        ill = Step(well, load.do(live(well, seconds)))
    return Measured(database, busy, prepared, living, steps, repeated, ill)


def live(learners: int, seconds: float) -> Order:
    """So many learners, after a warm-up."""
    return Order(kind="live", learners=learners, warm_up_s=WARM_UP_S, seconds=seconds)


def saturate(load: Load, database: str, learners: int, *, is_held: bool) -> list[Step]:
    """Halve the distance to the number of learners above which the targets do not hold any more."""
    steps = list[Step]()
    low, high = (learners, LARGEST_FACTOR * learners) if is_held else (0, learners)
    while len(steps) < MOST_STEPS and high - low > FEWEST:
        between = (low + high) // 2
        say(f"{database}: {between} learners for {STEP_S:.0f} s")
        load.do(Order(kind="prepare", learners=between))
        step = Step(between, load.do(live(between, STEP_S)))
        steps.append(step)
        low, high = (between, high) if holds(step) else (low, between)
    return steps


def say(what: str) -> None:
    """Tell what is going on; the report comes at the end."""
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--learners", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0, help="that are measured, after a warm-up")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    arguments = parser.parse_args()
    measured = []
    with TemporaryDirectory(dir=scratch()) as directory:
        for database in arguments.databases:
            home = Path(directory, database)
            home.mkdir()
            measured.append(measure(home, database, arguments.learners, arguments.seconds))
    print_report(measured)


if __name__ == "__main__":
    main()

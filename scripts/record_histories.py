"""Record how far the runs of ``tests/support/recorded_flows.py`` come by themselves, for tests to replay.

Usage: ``scripts/record_histories.py NAME``, where NAME is what the records are called, such as the version of
today. Records are never replaced: those of older versions are what runs in flight look like.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from orchestrator import EmbeddedEngine  # noqa: E402  # found by the line above
from orchestrator.testing import ManualClock  # noqa: E402
from support.quiet import settle  # noqa: E402
from support.recorded_flows import FLOWS, RUNS, SHORT_S, STEPS  # noqa: E402

HISTORIES = ROOT / "tests" / "durable" / "histories"
MOST_WAITS = 20


async def recorded_by_embedded() -> str:
    """Bring all runs to where they wait for a signal, and give the journal as SQL."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "runs.db"
        clock = ManualClock()
        async with EmbeddedEngine(journal, workflows=FLOWS, steps=STEPS, clock=clock) as engine:
            for run in RUNS:
                await engine.start(run.flow, run.input, id=run.id)
            for _ in range(MOST_WAITS):
                await settle(engine)
                await clock.advance(seconds=SHORT_S)
        return dump(journal)


def dump(journal: Path) -> str:
    """The file as SQL, with what SQLite keeps outside of its tables."""
    connection = sqlite3.connect(journal)
    try:
        pragmas = [
            f"PRAGMA {name} = {connection.execute(f'PRAGMA {name}').fetchone()[0]};"
            for name in ("application_id", "user_version")
        ]
        # SQLite writes an infinite number as a word that it does not read.
        rows = [line.replace(",Inf,", ",9e999,") for line in connection.iterdump()]
        return "\n".join([*pragmas, *rows]) + "\n"
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    """Record both engines."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    file = HISTORIES / f"embedded-{arguments[0]}.sql"
    if file.exists():
        print(f"{file} is there; records are never replaced.", file=sys.stderr)
        return 1
    file.write_text(asyncio.run(recorded_by_embedded()))
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Record how far the runs of ``tests/support/recorded_flows.py`` come by themselves, for tests to replay.

Usage: ``scripts/record_histories.py NAME``, where NAME is what the records are called, such as the version of
today. Records are never replaced: those of older versions are what runs in flight look like.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import sys
import tempfile
from pathlib import Path

from temporalio.client import Client

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from orchestrator import EmbeddedEngine, TemporalEngine  # noqa: E402  # found by the line above
from orchestrator.core.errors import NotFoundError  # noqa: E402
from orchestrator.durable.runs import Status  # noqa: E402
from orchestrator.testing import ManualClock  # noqa: E402
from support.quiet import settle  # noqa: E402
from support.recorded_flows import FLOWS, RUNS, SHORT_S, STEPS  # noqa: E402
from support.services import own_temporal_server  # noqa: E402

HISTORIES = ROOT / "tests" / "durable" / "histories"
MOST_WAITS = 20
WHO = re.compile(r'"[0-9]+@[^"]*"')
LONGER_THAN_ANY_WAIT_S = 0.5
LOOKS_AT_REST = 3


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


async def recorded_by_temporal(address: str) -> dict[str, str]:
    """Bring all runs to where they wait for a signal, and give their histories as JSON, by id."""
    async with TemporalEngine(address, workflows=FLOWS, steps=STEPS) as engine:
        ids = [(await engine.start(run.flow, run.input, id=run.id)).id for run in RUNS]
        ids += [run.waits for run in RUNS if run.waits]
        looks = 0
        while looks < LOOKS_AT_REST:
            await asyncio.sleep(LONGER_THAN_ANY_WAIT_S)
            looks = looks + 1 if await all_wait(engine, ids) else 0
    client = await Client.connect(address)
    histories = [(run_id, await client.get_workflow_handle(run_id).fetch_history()) for run_id in ids]
    # Who did it names a process of this machine, which is nobody's business.
    return {run_id: WHO.sub('"recorder"', history.to_json()) for run_id, history in histories}


async def all_wait(engine: TemporalEngine, ids: list[str]) -> bool:
    """Whether nothing of these runs is at work now."""
    try:
        found = [await (await engine.get(run_id)).describe() for run_id in ids]
    except NotFoundError:  # a child that was not begun yet
        return False
    return all(run.status in {Status.WAITING, Status.PENDING} for run in found)


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
    journal, folder = HISTORIES / f"embedded-{arguments[0]}.sql", HISTORIES / f"temporal-{arguments[0]}"
    if not journal.exists():
        journal.write_text(asyncio.run(recorded_by_embedded()))
        print(f"{journal.relative_to(ROOT)}: {journal.stat().st_size:,} bytes")
    if not folder.exists():
        with tempfile.TemporaryDirectory() as log, own_temporal_server(Path(log)) as server:
            found = asyncio.run(recorded_by_temporal(server.address))
        folder.mkdir()
        for run_id, history in found.items():
            (folder / f"{run_id}.json").write_text(history + "\n")
        print(f"{folder.relative_to(ROOT)}: {', '.join(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

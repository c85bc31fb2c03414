"""Journals with very many runs, each the copy of one that an engine recorded."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from benchmarks.scale.programs import Steps, count, engine_on, wait

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"


def finished_runs(path: Path, runs: int) -> None:
    """A journal at ``path`` with so many runs of five steps that completed."""

    async def first() -> None:
        async with engine_on(path, Steps()) as engine:
            await (await engine.start(count, 0, id="run-1")).result()

    asyncio.run(first())
    _multiply(path, runs)


def waiting_runs(path: Path, runs: int) -> None:
    """A journal at ``path`` with so many runs that wait outside of memory for a signal or a week."""

    async def first() -> None:
        async with engine_on(path, Steps(), most_runs_in_memory=0) as engine:
            await engine.start(wait, 0, id="run-1")
            await engine.settled()

    asyncio.run(first())
    _multiply(path, runs)


def _multiply(path: Path, runs: int) -> None:
    """Copy the one run of the file; only its number and its id differ."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for table, key in (("streams", "number"), ("runs", "number"), ("entries", "stream")):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            changed = {key: "n", "name": "'run/run-' || n"}
            values = [changed.get(name, name) for name in names]
            connection.execute(
                f"{NUMBERS} INSERT INTO {table} ({','.join(names)}) "  # noqa: S608  # names of our own tables
                f"SELECT {','.join(values)} FROM numbers CROSS JOIN {table} WHERE {key} = 1",
                (runs,),
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

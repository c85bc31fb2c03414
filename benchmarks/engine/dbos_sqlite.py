"""DBOS: five asynchronous steps in a workflow, on SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy
from dbos import DBOS, SetWorkflowID

from benchmarks.engine.peer import STEPS
from benchmarks.engine.sqlite import describe

if TYPE_CHECKING:
    from pathlib import Path

EXECUTOR_THREADS = 4  # tried: 1, 2, 4, 8 and the default; most workflows per second with this many


async def _add_one(number: int) -> int:
    return number + 1


add_one = DBOS.step(name="add_one")(_add_one)


async def _five_steps(number: int) -> int:
    for _ in range(STEPS):
        number = await add_one(number)
    return number


five_steps = DBOS.workflow(name="five_steps")(_five_steps)


class DbosSqlite:
    """The workflow is awaited where it is called, which spares it DBOS's polling for results.

    A file that DBOS makes has a rollback journal; the write-ahead log that it is given here is faster.
    """

    name: ClassVar[str] = "DBOS, SQLite"
    packages: ClassVar[tuple[str, ...]] = ("dbos",)

    async def prepare(self, directory: Path) -> None:
        """Launch DBOS on a new database file, with no reporting to anyone."""
        file = directory / "dbos.db"
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        self._dbos = DBOS(
            config={
                "name": "benchmark",
                "system_database_url": f"sqlite:///{file}",
                "log_level": "ERROR",
                "enable_otlp": False,
                "max_executor_threads": EXECUTOR_THREADS,
            }
        )
        DBOS.launch()

    async def run_one(self, number: int) -> int:
        """Run the workflow under an id made of `number`."""
        with SetWorkflowID(f"run-{number}"):
            return int(await five_steps(number))

    async def durability(self) -> str:
        """The pragmas of a connection from DBOS's own pool."""
        with self._dbos._sys_db.engine.connect() as connection:  # noqa: SLF001 - DBOS has no public way to ask
            values = {
                pragma: connection.execute(sqlalchemy.text(f"PRAGMA {pragma}")).scalar_one()
                for pragma in ("journal_mode", "synchronous")
            }
        return f"{describe(**values)} (WAL set by us)"

    async def close(self) -> int:
        """Stop DBOS's threads."""
        DBOS.destroy()
        return 0

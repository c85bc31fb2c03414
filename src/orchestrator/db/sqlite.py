"""Tables in a SQLite file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from orchestrator.core.errors import SettingsError
from orchestrator.core.private_files import make_private_file
from orchestrator.db.file import revision_of
from orchestrator.db.migrating import APPLICATION_ID, Migration, newest, upgrade
from orchestrator.db.sqlite_connection import connected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from orchestrator.core.errors import OrchestratorError

# NORMAL would lose the last transactions at a power cut, and with them sessions that a client was promised.
PRAGMAS: Final = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "busy_timeout": "5000",
}
# How the transaction begins that migrates: as a writer, so that a second one waits instead of failing.
AS_WRITER: Final = "as_writer"


class SqliteStore:
    """One SQLite file, made when it is migrated.

    All sessions share one connection, one after the other: SQLite up to 3.51.2 can corrupt a WAL that two
    connections checkpoint.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        # pool_size=1 without overflow is the one connection.
        self.engine: AsyncEngine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(file)),
            hide_parameters=True,
            pool_size=1,
            max_overflow=0,
            connect_args={"async_creator_fn": connected},
        )
        event.listen(self.engine.sync_engine, "connect", _configure)
        event.listen(self.engine.sync_engine, "begin", _begin)

    def __str__(self) -> str:
        return str(self._file)

    async def migrate(self, on_wait: Callable[[], None]) -> Migration:  # noqa: ARG002  # SQLite waits by itself
        """Make the file, or bring it to this version."""
        await asyncio.to_thread(revision_of, self._file)
        make_private_file(self._file)
        try:
            async with self.engine.connect() as connection:
                await connection.execution_options(**{AS_WRITER: True})
                migration = await connection.run_sync(_upgrade)
                await connection.commit()
        except DBAPIError as error:
            raise SettingsError(
                f"{self._file} cannot be used: {error.orig}. Check the rights of its folder and the space on "
                "its disk."
            ) from error
        return migration

    async def pending(self) -> Migration:
        """What the file lacks, found without changing a byte of it."""
        return Migration(await asyncio.to_thread(revision_of, self._file), newest())

    async def notices(self) -> tuple[str, ...]:
        """Nothing: the file has no users."""
        return ()

    def explained(self, error: Exception) -> OrchestratorError | None:  # noqa: ARG002  # nothing is expected to fail
        """Nothing: a file is there or the service does not start."""
        return None


def _upgrade(connection: Connection) -> Migration:
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    return upgrade(connection)


def _configure(connection: DBAPIConnection, _record: object) -> None:
    # Python's driver would commit before schema changes; without it, a migration is one transaction.
    _isolation_off(connection)
    cursor = connection.cursor()
    for name, value in PRAGMAS.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _isolation_off(connection: Any) -> None:  # noqa: ANN401  # an attribute of this driver alone
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    as_writer = connection.get_execution_options().get(AS_WRITER)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if as_writer else "BEGIN")

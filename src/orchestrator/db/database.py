"""The database of the rooms' tables: opened once, migrated at start, entered only as someone."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import create_async_engine

from orchestrator.core.errors import SettingsError
from orchestrator.db.session import Session, System, open_session, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection

# NORMAL would lose the last transactions at a power cut, and with them sessions that a client was promised.
PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "busy_timeout": "5000",
}
MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """The tables in one SQLite file, made and migrated when this is entered.

    ``async with Database(directory / "tables.db") as database: …``. All sessions share one connection, one
    after the other: SQLite up to 3.51.2 can corrupt a WAL that two connections checkpoint. So keep a session
    short, and never open one inside another.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        # pool_size=1 without overflow is the one connection.
        self.engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(file)), pool_size=1, max_overflow=0
        )
        event.listen(self.engine.sync_engine, "connect", _configure)
        event.listen(self.engine.sync_engine, "begin", _begin)

    async def __aenter__(self) -> Self:
        """Open the file and bring its tables to this version.

        Raises:
            SettingsError: a newer version wrote the file.
        """
        try:
            async with self.engine.connect() as connection:
                await connection.run_sync(_migrate)
                await connection.commit()
        except CommandError as error:
            await self.close()
            raise SettingsError(
                f"{self._file} was written by a newer version of Orchestrator ({error}). "
                "Start that version, or name another data directory."
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let the file go."""
        await self.engine.dispose()

    @asynccontextmanager
    async def session(self, principal: str | System) -> AsyncIterator[Session]:
        """A transaction as an owner or as ``SYSTEM``: committed at its end, undone by an error."""
        inner = open_session(self.engine, principal)
        try:
            yield Session(inner)
            await whole(inner.commit())
        finally:
            await whole(inner.close())  # which undoes what was not committed


def migrations(connection: Connection) -> Config:
    """Alembic's configuration for ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _migrate(connection: Connection) -> None:
    command.upgrade(migrations(connection), "head")


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
    connection.exec_driver_sql("BEGIN")

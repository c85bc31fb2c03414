"""The database of the rooms' tables: opened once, migrated at start, entered only as someone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from orchestrator.core.errors import SettingsError
from orchestrator.core.private_files import make_private_file
from orchestrator.db.file import APPLICATION_ID, MIGRATIONS, is_new
from orchestrator.db.session import Session, System, open_session, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection

# NORMAL would lose the last transactions at a power cut, and with them sessions that a client was promised.
PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "busy_timeout": "5000",
}


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
        """Open the file, or make it, and bring its tables to this version.

        Raises:
            SettingsError: the file is another program's, a newer version's, damaged, or cannot be written.
        """
        new = await asyncio.to_thread(is_new, self._file)
        make_private_file(self._file)
        try:
            async with self.engine.connect() as connection:
                await connection.run_sync(_migrate, new=new)
                await connection.commit()
        except DBAPIError as error:
            await self.close()
            raise SettingsError(
                f"{self._file} cannot be used: {error.orig}. Check the rights of its folder and the space on "
                "its disk."
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


def _migrate(connection: Connection, *, new: bool) -> None:
    if new:
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
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

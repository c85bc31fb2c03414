"""The database of the rooms' tables: opened once, migrated at start, entered only as someone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.core.errors import UnavailableError
from orchestrator.db.postgres import PostgresStore
from orchestrator.db.session import Session, System
from orchestrator.db.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection

    from orchestrator.core.settings import DatabaseSettings
    from orchestrator.db.migrating import Migration
    from orchestrator.db.store import Store

ANSWER_LIMIT_S: Final = 1.5  # below what a health probe may take

log = structlog.get_logger()


class Database:
    """The tables in a SQLite file or a PostgreSQL database, made and migrated when this is entered.

    ``async with Database(directory / "tables.db") as database: …``. On a SQLite file all sessions share one
    connection, one after the other: keep a session short, and never open one inside another.
    """

    def __init__(self, place: Path | Store) -> None:
        self._store = SqliteStore(place) if isinstance(place, Path) else place

    @classmethod
    def of(cls, settings: DatabaseSettings, file: Path) -> Self:
        """The database that is set, or else the SQLite ``file``.

        Raises:
            SettingsError: PostgreSQL is set, and its driver is not installed.
        """
        if settings.postgres is None:
            return cls(file)
        most_open, most_idle = settings.max_open_conns, settings.max_idle_conns
        return cls(PostgresStore(settings.postgres, most_open=most_open, most_idle=most_idle))

    def __str__(self) -> str:
        return str(self._store)

    @property
    def store(self) -> Store:
        """Where the tables are."""
        return self._store

    async def __aenter__(self) -> Self:
        """Bring the tables to this version, waiting for another process that does so.

        Raises:
            SettingsError: the database is another program's, a newer version's, damaged, or cannot be used.
            UnavailableError: it cannot be reached now.
        """
        try:
            await self.migrate(lambda: log.info("waiting for another process to migrate", tables=str(self)))
            for notice in await self.notices():
                log.warning(notice)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def is_behind(self) -> bool:
        """Whether so many wait for the tables that work which has time should not begin now."""
        return self._store.is_behind

    async def close(self) -> None:
        """Let the database go."""
        await self._store.close()

    async def migrate(self, on_wait: Callable[[], None]) -> Migration:
        """Bring the tables to this version; ``on_wait`` is called before waiting for another process.

        Raises:
            SettingsError, UnavailableError: as on entering.
        """
        return await self._store.migrate(on_wait)

    async def pending(self) -> Migration:
        """What ``migrate`` would do now; nothing is changed. Raises as it does."""
        return await self._store.pending()

    async def notices(self) -> tuple[str, ...]:
        """What works and is not as safe as it could be, one sentence each. Raises as ``migrate`` does."""
        return await self._store.notices()

    async def check(self) -> None:
        """See whether the database answers, within the time that a health probe has.

        Raises:
            UnavailableError: it does not, for the reason in the message.
        """
        asking = asyncio.ensure_future(self._store.apart(_ask))
        try:
            await asyncio.wait([asking], timeout=ANSWER_LIMIT_S)
            if not asking.done():
                raise UnavailableError(f"{self} cannot be reached right now: it did not answer in time.")
            await asking
        except (SQLAlchemyError, OSError) as error:
            told = self._store.explained(error)
            raise told or UnavailableError(f"{self} does not answer as it should.") from error
        finally:
            asking.cancel()  # not awaited: the driver takes its time to leave a server that hangs

    @asynccontextmanager
    async def session(self, principal: str | System, *, has_time: bool = False) -> AsyncIterator[Session]:
        """A transaction as an owner or as ``SYSTEM``: committed at its end, undone by an error.

        On a SQLite file, where one waits for another, those that have time let the others go first.

        Raises:
            UnavailableError: the database cannot be reached now. Nothing was committed, unless it went away
                in the very moment of the commit.
        """
        async with self._store.transaction(principal, has_time=has_time) as transaction:
            session = Session(transaction, self._store.explained)
            yield session
            await session.commit()


def _ask(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))

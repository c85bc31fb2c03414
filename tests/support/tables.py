"""Where a test keeps its tables: in a SQLite file or in a PostgreSQL database of its own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from orchestrator.core.settings import DatabaseSettings
from orchestrator.db import Database
from orchestrator.db.postgres import PostgresStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from support.postgres_server import Databases


@dataclass(frozen=True, slots=True)
class Tables:
    """A place for tables, empty at first: the database of ``url``, or the ``file`` where there is none."""

    file: Path
    url: str | None = None

    @property
    def settings(self) -> dict[str, object]:
        """What a service is told, by dotted names; its file is where it always is."""
        return {"database.url": self.url}

    @property
    def variables(self) -> dict[str, str]:
        """The same as environment variables."""
        return {"ORCHESTRATOR_DATABASE_URL": self.url} if self.url else {}

    def database(self) -> Database:
        """The database there, to be entered; another one each time, as after a restart."""
        return Database.of(DatabaseSettings(url=SecretStr(self.url) if self.url else None), self.file)


@asynccontextmanager
async def postgres_tables(postgres: Databases, folder: Path) -> AsyncGenerator[Tables]:
    """Tables in a fresh PostgreSQL database."""
    async with postgres.fresh() as name:
        yield Tables(folder / "not-used.db", postgres.url(name))


def server_of(database: Database) -> AsyncEngine:
    """What connects to the PostgreSQL server of ``database``, for a look past its sessions."""
    assert isinstance(database.store, PostgresStore)
    return database.store.engine

"""The tables as a command reaches them while no service has them."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.core.settings import Settings
    from orchestrator.db import Database


@asynccontextmanager
async def tables_at_hand(settings: Settings) -> AsyncIterator[Database]:
    """PostgreSQL where it is set, or else the file of the data directory, which is this command's meanwhile.

    Raises:
        ConflictError: a process has the data directory. SettingsError, UnavailableError: the tables cannot
            be used.
    """
    from orchestrator.app.backends import database_of
    from orchestrator.app.data_dir import claimed

    with nullcontext() if settings.database.postgres else claimed(settings.data_dir):
        async with database_of(settings) as database:
            yield database

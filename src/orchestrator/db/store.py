"""What a place for tables does for the database: there is one for SQLite files and one for PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from orchestrator.core.errors import OrchestratorError
    from orchestrator.db.migrating import Migration


class Store(Protocol):
    """Where tables are kept. ``str(store)`` is its name for people, without secrets."""

    @property
    def engine(self) -> AsyncEngine:
        """What connects to it."""
        ...

    async def migrate(self, on_wait: Callable[[], None]) -> Migration:
        """Bring the tables to this version, alone; ``on_wait`` is called before waiting for another process.

        Raises:
            SettingsError: the place is another program's, a newer version's, or cannot be used.
            UnavailableError: it cannot be reached now.
        """
        ...

    async def pending(self) -> Migration:
        """What ``migrate`` would do now. Raises as it does."""
        ...

    async def notices(self) -> tuple[str, ...]:
        """What works and is not as safe as it could be, one sentence each. Raises as `migrate` does."""
        ...

    def explained(self, error: Exception) -> OrchestratorError | None:
        """What people are told of an error in a session; None where it is our own fault."""
        ...

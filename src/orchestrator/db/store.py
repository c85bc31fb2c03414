"""What a place for tables does for the database: there is one for SQLite files and one for PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy import Connection, orm

    from orchestrator.core.errors import OrchestratorError
    from orchestrator.db.migrating import Migration
    from orchestrator.db.session import System

T = TypeVar("T")


class Transaction(Protocol):
    """One transaction of SQLAlchemy's session. Work is a function of that session, which waits for nothing.

    What was begun is done to its end, also when the caller is cancelled meanwhile, who learns of it then.
    """

    inner: orm.Session
    is_alone: bool
    """Whether no other transaction is under way."""

    async def read(self, work: Callable[[orm.Session], T]) -> T:
        """Do what only looks."""
        ...

    async def write(self, work: Callable[[orm.Session], T]) -> T:
        """Do what changes something, or waits for somebody."""
        ...

    async def commit(self) -> None:
        """Make durable what was done."""
        ...


class Store(Protocol):
    """Where tables are kept. ``str(store)`` is its name for people, without secrets."""

    def transaction(
        self, principal: str | System, *, has_time: bool = False
    ) -> AbstractAsyncContextManager[Transaction]:
        """A transaction as that principal, undone at the end unless it was committed.

        Where one has to wait for another, those that have time let the others go first.
        """
        ...

    @property
    def is_behind(self) -> bool:
        """Whether so many wait that whoever has time should not come now."""
        ...

    async def apart(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in a transaction of a plain connection, which belongs to nobody."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
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

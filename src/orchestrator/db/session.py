"""A session that belongs to someone: it shows and changes that owner's rows and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import event, orm
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.core.errors import ForbiddenError, InternalError
from orchestrator.db.tables import Base, Owned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import CursorResult, Delete, Select, Update
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
RowT = TypeVar("RowT", bound=Base)


class System:
    """The service itself, for sweeps over everybody's rows. Its inserts must name the owner."""

    def __repr__(self) -> str:
        return "SYSTEM"


SYSTEM: Final = System()


class Session:
    """What a room may do with its tables: select, add, change and remove rows through their classes.

    Plain SQL is not offered, since nobody could add the owner to it.
    """

    def __init__(self, inner: AsyncSession) -> None:
        self._inner = inner

    async def all(self, select: Select[T]) -> list[T]:
        """Everything that is selected."""
        return list(await self._inner.scalars(select))

    async def one(self, select: Select[T]) -> T | None:
        """What is selected, or None.

        Raises:
            sqlalchemy.exc.MultipleResultsFound: more than one row was found.
        """
        return (await self._inner.execute(select)).scalar_one_or_none()

    def add(self, row: Base) -> None:
        """Insert ``row``; without an owner it gets the session's."""
        self._inner.add(row)

    async def change(self, statement: Update | Delete) -> int:
        """Update or delete rows where they are; how many there were."""
        result: CursorResult[Any] = await self._inner.execute(statement)  # type: ignore[assignment]  # of an update or delete
        return result.rowcount

    async def merge(self, row: RowT) -> RowT:
        """Insert ``row``, or update the one with its key."""
        return await self._inner.merge(row)

    async def flush(self) -> None:
        """Send what was added, without ending the transaction."""
        await self._inner.flush()


class _OwnedSession(orm.Session):
    """SQLAlchemy's session with the principal in ``info``."""


def open_session(engine: AsyncEngine, principal: str | System) -> AsyncSession:
    """A session of ``principal`` on ``engine``.

    Raises:
        ValueError: an empty owner, which would be everybody and nobody.
    """
    if not principal:
        raise ValueError("a session needs an owner; pass SYSTEM for a sweep over everybody's rows")
    return AsyncSession(
        engine, sync_session_class=_OwnedSession, expire_on_commit=False, info={"principal": principal}
    )


@event.listens_for(_OwnedSession, "do_orm_execute")
def _narrow(state: orm.ORMExecuteState) -> None:
    """Let a statement see its owner's rows only."""
    if not state.is_orm_statement or state.is_insert:
        raise InternalError("a session takes select, update and delete of mapped classes; insert with add()")
    owner = state.session.info["principal"]
    if owner is not SYSTEM:
        mine = orm.with_loader_criteria(Owned, lambda table: table.owner == owner, include_aliases=True)
        state.statement = state.statement.options(mine)


@event.listens_for(_OwnedSession, "before_flush")
def _stamp(session: orm.Session, _context: object, _instances: object) -> None:
    """Give new rows their owner, and refuse to touch another's."""
    owner = session.info["principal"]
    if owner is SYSTEM:
        return
    for row in _owned(session.new):
        row.owner = row.owner or owner
    for row in _owned([*session.new, *session.dirty, *session.deleted]):
        if row.owner != owner:
            raise ForbiddenError(f"a row of {type(row).__name__} belongs to someone else")


def _owned(rows: Iterable[object]) -> Iterable[Owned]:
    return (row for row in rows if isinstance(row, Owned))

"""A session that belongs to someone: it shows and changes that owner's rows and no others."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Executable, bindparam, event, func, orm, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm.exc import StaleDataError

from orchestrator.core.errors import ConflictError, ForbiddenError, InternalError, InvalidInputError
from orchestrator.core.waiting import whole
from orchestrator.db.row_security import SYSTEM_ROLE, USER_ROLE, enter
from orchestrator.db.tables import LONGEST_OWNER_CHARS, Base, Owned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from sqlalchemy import Connection, CursorResult, Delete, Row, Select, Update

    from orchestrator.core.errors import OrchestratorError
    from orchestrator.db.store import Transaction

T = TypeVar("T")
Columns = TypeVarTuple("Columns")


# U+0000, which PostgreSQL cannot keep, and half a character, which none can.
_NOT_KEPT: Final = re.compile(r"[\x00\ud800-\udfff]")


class System:
    """The service itself, for sweeps over everybody's rows. Its inserts must name the owner."""

    def __repr__(self) -> str:
        return "SYSTEM"


SYSTEM: Final = System()
SYSTEM_OWNER: Final = "system"
"""Whose the service's own schedules and runs are. No user may be called so."""


class Session:
    """What a room may do with its tables: select, add, change and remove rows through their classes.

    Plain SQL is not offered, since nobody could add the owner to it. A query that is asked often is built
    once, with a ``bindparam`` for what differs; its values are given by name when it is asked.
    """

    def __init__(
        self, transaction: Transaction, explained: Callable[[Exception], OrchestratorError | None]
    ) -> None:
        """Take the transaction, and what the caller is told of an error of the driver."""
        self._transaction = transaction
        self._explained = explained
        self._after_commit: list[Callable[[], None]] = []

    async def all(self, query: Select[T], **given: object) -> list[T]:
        """Everything that is selected."""
        return await self._read(lambda inner: list(inner.scalars(query, given)))

    async def one(self, query: Select[T], **given: object) -> T | None:
        """What is selected, or None.

        Raises:
            sqlalchemy.exc.MultipleResultsFound: more than one row was found.
        """
        return await self._read(lambda inner: inner.execute(query, given).scalar_one_or_none())

    async def rows(self, query: Select[*Columns], **given: object) -> list[Row[*Columns]]:
        """Everything that is selected, where that is several things at once."""
        return await self._read(lambda inner: list(inner.execute(query, given)))

    def add(self, row: Base) -> None:
        """Insert ``row``; without an owner it gets the session's."""
        self._transaction.inner.add(row)

    async def change(self, statement: Update | Delete) -> int:
        """Update or delete rows where they are; how many there were. What was read before stays as it was."""
        return await self._write(lambda inner: _changed(inner, statement))

    async def flush(self) -> None:
        """Send what was added, without ending the transaction."""
        await self._read(lambda inner: inner.flush())

    async def alone(self, what: str) -> None:
        """Wait until no other session is alone with ``what``, and be so until this one ends.

        On SQLite every session is alone with everything.
        """
        if not self._transaction.is_alone:
            lock = select(func.pg_advisory_xact_lock(_number(what)))
            await self._write(lambda inner: inner.connection().execute(lock))

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back once what was done is durable; not at all if it is undone."""
        self._after_commit.append(callback)

    async def commit(self) -> None:
        """Make durable what was done."""
        if self._after_commit:  # which are owed also to a caller who is cancelled meanwhile
            await whole(asyncio.ensure_future(self._commit_and_call_back()))
        else:
            await self._told(self._transaction.commit())

    async def _commit_and_call_back(self) -> None:
        await self._told(self._transaction.commit())
        for callback in self._after_commit:
            callback()

    async def _read(self, work: Callable[[orm.Session], T]) -> T:
        return await self._told(self._transaction.read(work))

    async def _write(self, work: Callable[[orm.Session], T]) -> T:
        return await self._told(self._transaction.write(work))

    async def _told(self, done: Awaitable[T]) -> T:
        try:
            return await done
        except StaleDataError as error:
            raise ConflictError("What was to be changed is gone meanwhile.") from error
        except (SQLAlchemyError, OSError) as error:
            told = self._explained(error)
            if told is None:
                raise
            raise told from error


def _changed(inner: orm.Session, statement: Update | Delete) -> int:
    done = inner.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", done).rowcount


def _number(name: str) -> int:
    """The lock of that name, as the 64-bit number that PostgreSQL takes."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


class OwnedSession(orm.Session):
    """SQLAlchemy's session with the principal in ``info``, which narrows what it sees and changes."""


def session_options(principal: str | System) -> dict[str, Any]:
    """What SQLAlchemy's session of ``principal`` is made with.

    Raises:
        ValueError: an empty owner, which would be everybody and nobody.
        InvalidInputError: an owner that no database could keep.
    """
    if not principal:
        raise ValueError("a session needs an owner; pass SYSTEM for a sweep over everybody's rows")
    if isinstance(principal, str):
        _check_owner(principal)
    return {"expire_on_commit": False, "info": {"principal": principal}}


def _check_owner(owner: str) -> None:
    """Refuse, on every database alike, what one of them cannot keep."""
    if len(owner) > LONGEST_OWNER_CHARS:
        raise InvalidInputError(
            f"A user's name has {LONGEST_OWNER_CHARS} characters at most; this one has {len(owner)}."
        )
    if _NOT_KEPT.search(owner):
        raise InvalidInputError("A user's name holds a character that cannot be kept, such as U+0000.")


@event.listens_for(OwnedSession, "after_begin")
def _enter(session: orm.Session, _transaction: object, connection: Connection) -> None:
    """Have the server narrow the transaction too, where it can."""
    if connection.dialect.name == "postgresql":
        owner = session.info["principal"]
        enter(connection, *((SYSTEM_ROLE, "") if owner is SYSTEM else (USER_ROLE, owner)))


# Built once, and given its owner with each query: to build it anew is half of what a small query costs. So is
# SQLAlchemy's search for the text that it made of a statement before, which it spares the same object. So a
# statement is kept with its filter, for as long as it is there itself.
_OF_OWNER: Final = orm.with_loader_criteria(
    Owned, lambda table: table.owner == bindparam("session_owner"), include_aliases=True
)
_narrowed: Final[WeakKeyDictionary[Executable, Executable]] = WeakKeyDictionary()


@event.listens_for(OwnedSession, "do_orm_execute")
def _narrow(state: orm.ORMExecuteState) -> None:
    """Let a statement see its owner's rows only."""
    if not state.is_orm_statement or state.is_insert:
        raise InternalError("a session takes select, update and delete of mapped classes; insert with add()")
    owner = state.session.info["principal"]
    if owner is SYSTEM:
        return
    if state.is_update:  # whose parameters are values to be set, so that the owner is part of the statement
        mine = orm.with_loader_criteria(Owned, lambda table: table.owner == owner, include_aliases=True)
        state.statement = state.statement.options(mine)
    else:
        state.statement = _of_owner(state.statement)
        state.parameters = {**cast("dict[str, Any]", state.parameters or {}), "session_owner": owner}


def _of_owner(statement: Executable) -> Executable:
    if statement not in _narrowed:
        _narrowed[statement] = statement.options(_OF_OWNER)
    return _narrowed[statement]


@event.listens_for(OwnedSession, "before_flush")
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

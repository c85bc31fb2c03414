"""A session that belongs to someone: it shows and changes that owner's rows and no others."""

from __future__ import annotations

import asyncio
import hashlib
import re
from types import coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, cast

from sqlalchemy import event, func, orm, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.core.errors import ForbiddenError, InternalError, InvalidInputError
from orchestrator.db.row_security import ENTER, SYSTEM_ROLE, USER_ROLE
from orchestrator.db.tables import LONGEST_OWNER_CHARS, Base, Owned

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable

    from sqlalchemy import Connection, CursorResult, Delete, Row, Select, Update
    from sqlalchemy.ext.asyncio import AsyncEngine

    from orchestrator.core.errors import OrchestratorError

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

    Plain SQL is not offered, since nobody could add the owner to it.
    """

    def __init__(
        self, inner: AsyncSession, explained: Callable[[Exception], OrchestratorError | None]
    ) -> None:
        """Take SQLAlchemy's session, and what the caller is told of an error of the driver."""
        self._inner = inner
        self._explained = explained
        self._is_postgres = inner.get_bind().dialect.name == "postgresql"
        self._after_commit: list[Callable[[], None]] = []

    async def all(self, query: Select[T]) -> list[T]:
        """Everything that is selected."""
        return list(await self._done(self._inner.scalars(query)))

    async def one(self, query: Select[T]) -> T | None:
        """What is selected, or None.

        Raises:
            sqlalchemy.exc.MultipleResultsFound: more than one row was found.
        """
        return (await self._done(self._inner.execute(query))).scalar_one_or_none()

    async def rows(self, query: Select[*Columns]) -> list[Row[*Columns]]:
        """Everything that is selected, where that is several things at once."""
        return list(await self._done(self._inner.execute(query)))

    def add(self, row: Base) -> None:
        """Insert ``row``; without an owner it gets the session's."""
        self._inner.add(row)

    async def change(self, statement: Update | Delete) -> int:
        """Update or delete rows where they are; how many there were."""
        result = cast("CursorResult[Any]", await self._done(self._inner.execute(statement)))
        return result.rowcount

    async def flush(self) -> None:
        """Send what was added, without ending the transaction."""
        await self._done(self._inner.flush())

    async def alone(self, what: str) -> None:
        """Wait until no other session is alone with ``what``, and be so until this one ends.

        On SQLite every session is alone with everything.
        """
        if self._is_postgres:
            await self._done(self._locked(_number(what)))

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call back once what was done is durable; not at all if it is undone."""
        self._after_commit.append(callback)

    async def commit(self) -> None:
        """Make durable what was done."""
        await self._done(self._inner.commit())
        for callback in self._after_commit:
            callback()

    async def close(self) -> None:
        """Undo what was not committed, and give the connection back."""
        await self._done(self._inner.close())

    async def _locked(self, number: int) -> None:
        connection = await self._inner.connection()
        await connection.execute(select(func.pg_advisory_xact_lock(number)))

    async def _done(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await (whole(work) if self._is_postgres else begun_at_once(work))
        except (SQLAlchemyError, OSError) as error:
            told = self._explained(error)
            if told is None:
                raise
            raise told from error


def _number(name: str) -> int:
    """The lock of that name, as the 64-bit number that PostgreSQL takes."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Do ``work`` to its end, also when the caller is cancelled meanwhile, who learns of it then.

    A driver that is interrupted in a statement leaves a connection behind that still holds its locks.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # seen, so that asyncio does not report it as forgotten
        raise cancelled
    return task.result()


async def begun_at_once(work: Coroutine[Any, Any, T]) -> T:
    """The same, for work that often has nothing to wait for: then it is done before anybody else's turn.

    What is begun here goes on in a task of its own, so nothing in it may look for the task that it is in.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    return await whole(_gone_on(work, waits_for))


async def _gone_on(work: Coroutine[Any, Any, T], waits_for: object) -> T:
    return await _resumed(work, waits_for)


@coroutine
def _resumed(work: Coroutine[Any, Any, T], waits_for: object) -> Generator[object, Any, T]:
    """The rest of a coroutine that was begun and gave ``waits_for``."""
    try:
        while True:
            try:
                told = yield waits_for
            except BaseException as error:  # noqa: BLE001  # whatever it is, it is the coroutine's
                waits_for = work.throw(error)
            else:
                waits_for = work.send(told)
    except StopIteration as done:
        result: T = done.value
        return result


class _OwnedSession(orm.Session):
    """SQLAlchemy's session with the principal in ``info``."""


def open_session(engine: AsyncEngine, principal: str | System) -> AsyncSession:
    """A session of ``principal`` on ``engine``.

    Raises:
        ValueError: an empty owner, which would be everybody and nobody.
        InvalidInputError: an owner that no database could keep.
    """
    if not principal:
        raise ValueError("a session needs an owner; pass SYSTEM for a sweep over everybody's rows")
    if isinstance(principal, str):
        _check_owner(principal)
    return AsyncSession(
        engine, sync_session_class=_OwnedSession, expire_on_commit=False, info={"principal": principal}
    )


def _check_owner(owner: str) -> None:
    """Refuse, on every database alike, what one of them cannot keep."""
    if len(owner) > LONGEST_OWNER_CHARS:
        raise InvalidInputError(
            f"A user's name has {LONGEST_OWNER_CHARS} characters at most; this one has {len(owner)}."
        )
    if _NOT_KEPT.search(owner):
        raise InvalidInputError("A user's name holds a character that cannot be kept, such as U+0000.")


@event.listens_for(_OwnedSession, "after_begin")
def _enter(session: orm.Session, _transaction: object, connection: Connection) -> None:
    """Have the server narrow the transaction too, where it can."""
    if connection.dialect.name == "postgresql":
        owner = session.info["principal"]
        role, user = (SYSTEM_ROLE, "") if owner is SYSTEM else (USER_ROLE, owner)
        connection.execute(ENTER, {"role": role, "user": user})


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

"""Tables in a SQLite file: what reads is done at once, what may wait is done on a thread."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from sqlalchemy import URL, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from orchestrator.core.errors import SettingsError, UnavailableError
from orchestrator.core.precedence import Precedence
from orchestrator.core.private_files import make_private_file
from orchestrator.core.waiting import whole
from orchestrator.db.file import revision_of
from orchestrator.db.migrating import APPLICATION_ID, Migration, newest, upgrade
from orchestrator.db.session import OwnedSession, System, session_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sqlalchemy import Connection, orm
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from orchestrator.core.errors import OrchestratorError

T = TypeVar("T")

# NORMAL would lose the last transactions at a power cut, and with them sessions that a client was promised.
PRAGMAS: Final = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "busy_timeout": "5000",
}
# SQLite's error codes of what passes by itself or by an operator's hand, and what people can do.
_PASSING: Final = {
    sqlite3.SQLITE_BUSY: "another process writes to it; try again",
    sqlite3.SQLITE_FULL: "its disk is full; make room there",
}
_PRIMARY: Final = 0xFF  # the bits of a code that say what it is; those above it say more of it
# How the transaction begins that migrates: as a writer, so that a second one waits instead of failing.
AS_WRITER: Final = "as_writer"
# As many have their turns within a tenth of a second.
LONGEST_LINE: Final = 20
# Changes nothing, in the manner of those who do.
TAKE_LOCK: Final = "UPDATE alembic_version SET version_num = version_num WHERE 0"
PATIENCE: Final = f"PRAGMA busy_timeout={PRAGMAS['busy_timeout']}"


class SqliteStore:
    """One SQLite file, made when it is migrated.

    All sessions share one connection, one after the other: SQLite up to 3.51.2 can corrupt a WAL that two
    connections checkpoint.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._engine = create_engine(
            URL.create("sqlite", database=str(file)),
            hide_parameters=True,
            poolclass=StaticPool,
            # Two threads use it, one after the other: the event loop's and ours.
            connect_args={"check_same_thread": False},
        )
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tables")
        self._precedence = Precedence()
        self._is_closed = False

    def __str__(self) -> str:
        return str(self._file)

    @asynccontextmanager
    async def transaction(
        self, principal: str | System, *, has_time: bool = False
    ) -> AsyncIterator[SqliteTransaction]:
        """The connection, when it is free."""
        options = session_options(principal)
        async with self._precedence.turn(has_time=has_time):
            self._check_open()
            with OwnedSession(self._engine, **options) as inner:
                yield SqliteTransaction(inner, self._thread)

    @property
    def is_behind(self) -> bool:
        """Whether a line of those who have time has formed."""
        return self._precedence.patient > LONGEST_LINE

    async def apart(self, work: Callable[[Connection], T]) -> T:
        """The same connection, without a session."""
        async with self._precedence.turn():
            self._check_open()
            return await on_thread(self._thread, lambda: self._in_transaction(work))

    async def close(self) -> None:
        """Let the file go, once the session that is open has ended."""
        async with self._precedence.turn():
            if not self._is_closed:
                self._is_closed = True
                disposed = asyncio.get_running_loop().run_in_executor(self._thread, self._engine.dispose)
                self._thread.shutdown(wait=False)  # takes nothing more, and ends with this
                await whole(disposed)

    async def migrate(self, on_wait: Callable[[], None]) -> Migration:  # noqa: ARG002  # SQLite waits by itself
        """Make the file, or bring it to this version."""
        await asyncio.to_thread(revision_of, self._file)
        make_private_file(self._file)
        try:
            async with self._precedence.turn():
                return await on_thread(self._thread, lambda: self._in_transaction(_upgrade, as_writer=True))
        except DBAPIError as error:
            raise SettingsError(
                f"{self._file} cannot be used: {error.orig}. Check the rights of its folder and the space on "
                "its disk."
            ) from error

    async def pending(self) -> Migration:
        """What the file lacks, found without changing a byte of it."""
        return Migration(await asyncio.to_thread(revision_of, self._file), newest())

    async def notices(self) -> tuple[str, ...]:
        """Nothing: the file has no users."""
        return ()

    def explained(self, error: Exception) -> OrchestratorError | None:
        """That another process writes, or that the disk has no room."""
        code: int = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
        reason = _PASSING.get(code & _PRIMARY)
        return UnavailableError(f"{self} could not be written: {reason}.") if reason else None

    def _check_open(self) -> None:
        if self._is_closed:
            raise UnavailableError(f"{self} is closed, since the service stops.")

    def _in_transaction(self, work: Callable[[Connection], T], *, as_writer: bool = False) -> T:
        with self._engine.connect() as connection:
            connection.execution_options(**{AS_WRITER: as_writer})
            with connection.begin():
                return work(connection)


class SqliteTransaction:
    """A transaction of the one connection.

    A read takes SQLite some 20 µs and waits for nobody, since the log is written ahead: it is done where it
    is asked for. To hand it to a thread and back is far more. So is to send rows that were changed, once the
    lock of writers is held. What may wait, for another process or for the disk, and what may change any
    number of rows, is done on the thread, and keeps nobody from working meanwhile (docs/decisions/0035).
    """

    is_alone = True

    def __init__(self, inner: orm.Session, thread: ThreadPoolExecutor) -> None:
        self.inner = inner
        self._thread = thread
        self._has_written = False

    async def read(self, work: Callable[[orm.Session], T]) -> T:
        """At once, after what was changed."""
        if self._has_changes:
            await self._take_lock()
        return work(self.inner)

    async def write(self, work: Callable[[orm.Session], T]) -> T:
        """On the thread."""
        self._has_written = True
        return await on_thread(self._thread, lambda: work(self.inner))

    async def commit(self) -> None:
        """On the thread, if there is anything to be written."""
        await self.read(lambda inner: inner.flush())
        if not self._has_written:
            return
        try:
            # The driver alone: of Python's lock it wants little, and everybody waits for the connection.
            await on_thread(self._thread, self._raw.commit)
        except sqlite3.Error as error:
            raise OperationalError("COMMIT", None, error) from error
        self.inner.commit()

    async def _take_lock(self) -> None:
        """Be the one who writes: at once where nobody else does, else when the thread has waited for them."""
        if self._has_written:
            return
        if not _is_taken_at_once(self._raw):
            connection = self.inner.connection()
            await on_thread(self._thread, lambda: connection.exec_driver_sql(TAKE_LOCK))
        self._has_written = True

    @property
    def _raw(self) -> sqlite3.Connection:
        return cast("sqlite3.Connection", self.inner.connection().connection.driver_connection)

    @property
    def _has_changes(self) -> bool:
        inner = self.inner
        return bool(inner.new or inner.dirty or inner.deleted)


def _is_taken_at_once(raw: sqlite3.Connection) -> bool:
    """Whether nobody had the lock; if somebody had, or it failed, to wait for it says more."""
    raw.execute("PRAGMA busy_timeout=0")
    try:
        raw.execute(TAKE_LOCK)
    except sqlite3.OperationalError:
        return False
    finally:
        raw.execute(PATIENCE)
    return True


async def on_thread(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Do ``work`` there to its end, whatever becomes of who waits for it: the connection is in its hands."""
    return await whole(asyncio.get_running_loop().run_in_executor(thread, work))


def _upgrade(connection: Connection) -> Migration:
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    return upgrade(connection)


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
    as_writer = connection.get_execution_options().get(AS_WRITER)
    raw: sqlite3.Connection = cast("Any", connection.connection.driver_connection)
    raw.execute("BEGIN IMMEDIATE" if as_writer else "BEGIN")  # SQLAlchemy's own way costs more than a query

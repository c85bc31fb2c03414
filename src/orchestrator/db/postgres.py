"""Tables in a PostgreSQL database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from ssl import SSLCertVerificationError
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlencode

from sqlalchemy import NullPool, QueuePool, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoFreeConnectionError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from orchestrator.core.errors import (
    InvalidInputError,
    OrchestratorError,
    SettingsError,
    UnavailableError,
)
from orchestrator.core.waiting import whole
from orchestrator.db.migrating import APPLICATION_ID, Migration, newest, refuse_newer, upgrade
from orchestrator.db.row_security import as_script, lacking, passes_by
from orchestrator.db.session import OwnedSession, System, session_options
from orchestrator.db.tables import Base

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy import Connection, orm
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.pool import ConnectionPoolEntry

    from orchestrator.core.postgres_address import PostgresAddress

T = TypeVar("T")

OLDEST_VERSION: Final = 15
CONNECT_LIMIT_S: Final = 5.0
STATEMENT_LIMIT_S: Final = 30.0  # of a session's statements; a migration takes the time that it takes
FREE_CONNECTION_LIMIT_S: Final = 10.0
# No server is restarted within it. To try a connection each time is a fifth of what a small session costs.
TRIED_AFTER_S: Final = 0.1
LAST_USED: Final = "last used"
# Whatever the server's default: who has waited for a lock must see what its last holder wrote.
ISOLATION: Final = "READ COMMITTED"
# Our mark on Alembic's table, which other programs may have too.
MARK: Final = "Orchestrator: the version of its tables"

# SQLSTATEs, by what people can do about them; two letters stand for a class.
_NOT_LET_IN: Final = ("28",)
_NO_SUCH_DATABASE: Final = ("3D000",)
_NO_RIGHT: Final = ("42501",)
# Connections refused or cut, or too many; a server that starts or stops.
_AWAY: Final = ("08", "53300", "57P")
# Deadlocks, a full disk, locks and statements that were given up, a server that only reads for now.
_BUSY: Final = ("40", "53", "55P03", "57014", "25006")
_MADE_BY_OWNER: Final = (
    "Tables are made and changed by their owner: run `orchestrator migrate` as a user who may CREATE in the "
    "schema."
)
_NOT_TEXT: Final = ("22021", "22P05")


class PostgresStore:
    """One PostgreSQL database. Sessions run side by side on a pool of connections.

    A connection that nobody used for a moment is tried before it is used, so a server that was restarted
    costs nobody an error who comes after it is back.

    Raises:
        SettingsError: the driver is not installed.
    """

    def __init__(self, address: PostgresAddress, *, most_open: int = 25, most_idle: int = 5) -> None:
        self._address = address
        self._most_open = most_open
        self._connect = _connector(address)
        kept = min(most_idle, most_open)
        self.engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=lambda: self._connect(command_timeout=STATEMENT_LIMIT_S),
            isolation_level=ISOLATION,
            hide_parameters=True,
            pool_size=kept,
            max_overflow=most_open - kept,
            pool_timeout=FREE_CONNECTION_LIMIT_S,
            pool_use_lifo=True,  # the one that was used last need not be tried
        )
        event.listen(self.engine.sync_engine, "checkin", _used)
        event.listen(self.engine.sync_engine, "checkout", self._tried)

    def __str__(self) -> str:
        return str(self._address)

    async def migrate(self, on_wait: Callable[[], None]) -> Migration:
        """Bring the tables to this version in one transaction, while all others that try wait for its end."""
        async with self._alone() as connection:
            if not await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({APPLICATION_ID})")):
                on_wait()
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({APPLICATION_ID})"))
            revision = await connection.run_sync(self._usable_revision)
            if revision == newest():
                return Migration(revision, revision)
            migration = await connection.run_sync(_upgrade)
            await connection.commit()
            return migration

    async def pending(self) -> Migration:
        """What the database lacks."""
        async with self._alone() as connection:
            return Migration(await connection.run_sync(self._usable_revision), newest())

    async def notices(self) -> tuple[str, ...]:
        """That the second wall would not hold a session that forgot to take a role."""
        async with self._alone() as connection:
            reason = await connection.run_sync(passes_by)
        if reason is None:
            return ()
        notice = (
            f"The user of {self} {reason}, so row-level security holds by what this service does, and not by "
            "what it may do. To have both, serve as a user who may not; docs/tenancy.md says how."
        )
        return (notice,)

    def explained(self, error: Exception) -> OrchestratorError | None:
        """That the database is away, or that it cannot keep what it was given."""
        state = _sqlstate(error)
        if state.startswith(_NOT_TEXT) or isinstance(_origin(error), UnicodeEncodeError):
            return InvalidInputError("A text holds a character that cannot be kept, such as U+0000.")
        if isinstance(error, NoFreeConnectionError):
            return UnavailableError(
                f"All connections to {self} are in use. Try again, or raise database.max_open_conns."
            )
        if state.startswith((*_NOT_LET_IN, *_NO_SUCH_DATABASE)) or _is_mistrust(error):
            return UnavailableError(self._refused(error).message)
        return self._passing(error)

    @asynccontextmanager
    async def transaction(
        self,
        principal: str | System,
        *,
        has_time: bool = False,  # noqa: ARG002  # the server serves all at once
    ) -> AsyncIterator[PostgresTransaction]:
        """On a connection of the pool."""
        inner = AsyncSession(self.engine, sync_session_class=OwnedSession, **session_options(principal))
        try:
            yield PostgresTransaction(inner)
        finally:
            await self._ended(inner)

    @property
    def is_behind(self) -> bool:
        """Whether all connections are in use."""
        return isinstance(self.engine.pool, QueuePool) and self.engine.pool.checkedout() >= self._most_open

    async def apart(self, work: Callable[[Connection], T]) -> T:
        """On a connection of the pool too."""
        async with self.engine.begin() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()

    def _tried(self, connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        """See whether the server still knows a connection that nobody used for a moment.

        Raises:
            InvalidatePoolError: it does not, so that none of the pool is used any more.
        """
        idle_s = monotonic() - record.info.get(LAST_USED, inf)  # a new one was used by nobody
        if idle_s < TRIED_AFTER_S:
            return
        dialect = self.engine.dialect
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, cast("Any", connection), None):
                raise InvalidatePoolError from error
            raise

    async def _ended(self, inner: AsyncSession) -> None:
        """Undo what was not committed; a server that is away does so by itself."""
        try:
            await whole(asyncio.ensure_future(inner.close()))
        except (SQLAlchemyError, OSError) as error:
            if not isinstance(self.explained(error), UnavailableError):
                raise

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[AsyncConnection]:
        """A connection beside the pool, without a limit on its statements; errors come out as sentences."""
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            isolation_level=ISOLATION,
            hide_parameters=True,
            poolclass=NullPool,
        )
        try:
            async with engine.connect() as connection:
                yield connection
        except (DBAPIError, OSError) as error:
            raise self._passing(error) or self._refused(error) from error
        finally:
            await engine.dispose()

    def _passing(self, error: Exception) -> UnavailableError | None:
        """What passes by itself, such as a restart of the server."""
        is_cut = isinstance(error, DBAPIError) and error.connection_invalidated
        is_out_of_reach = isinstance(error, OSError) and not _is_mistrust(error)
        if is_cut or is_out_of_reach or _sqlstate(error).startswith(_AWAY):
            return UnavailableError(f"{self} cannot be reached right now: {_reason(error)}.")
        if _sqlstate(error).startswith(_BUSY):
            return UnavailableError(f"{self} could not do this now: {_reason(error)}. Try again.")
        return None

    def _refused(self, error: Exception) -> SettingsError:
        state, address = _sqlstate(error), self._address
        mend = "Check database.url."
        if state.startswith(_NOT_LET_IN):
            mend = "Check the user and the password in database.url, and the server's pg_hba.conf."
        elif state.startswith(_NO_SUCH_DATABASE):
            mend = f'Make it (CREATE DATABASE "{address.database}"), or correct database.url.'
        elif _is_mistrust(error):
            mend = "Check sslmode and sslrootcert in database.url, and the server's certificate."
        elif state.startswith(_NO_RIGHT):
            mend = _MADE_BY_OWNER
        return SettingsError(f"{self} cannot be used: {_reason(error)}. {mend}")

    def _usable_revision(self, connection: Connection) -> str | None:
        """The revision of our tables; None where there are none yet.

        Raises:
            SettingsError: too old a server, or a database that is not ours to change.
        """
        version = connection.scalar(text("SELECT current_setting('server_version_num')::int"))
        if version < OLDEST_VERSION * 10_000:
            raise SettingsError(
                f"{self} is PostgreSQL {version // 10_000}; Orchestrator needs {OLDEST_VERSION} or later."
            )
        encoding = connection.scalar(text("SELECT current_setting('server_encoding')"))
        if encoding != "UTF8":
            raise SettingsError(
                f"{self} keeps text as {encoding}, which cannot hold every character. "
                "Make the database with ENCODING 'UTF8'."
            )
        revision = self._revision(connection)
        if revision == newest():
            self._check_rights(connection)
        return revision

    def _check_rights(self, connection: Connection) -> None:
        """See whether this user may do all that sessions do, before the first request that does.

        Raises:
            SettingsError: he may not; it has what is to be run.
        """
        if statements := lacking(connection, Base.metadata):
            raise SettingsError(
                f"{self} cannot be used: this user lacks rights, or the tables lack row-level security. "
                f"Have their owner, or the server's administrator, run: {as_script(statements)}"
            )

    def _revision(self, connection: Connection) -> str | None:
        kept = text("SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace")
        names = set(connection.scalars(kept))
        if "alembic_version" not in names:
            if taken := names & set(Base.metadata.tables):
                raise self._foreign(f"it has a table {min(taken)} that Orchestrator did not make")
            return None
        mark = text("SELECT obj_description('alembic_version'::regclass, 'pg_class')")
        if connection.scalar(mark) != MARK:
            raise self._foreign("another program keeps the version of its tables there")
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        if revision is not None:
            refuse_newer(revision, str(self))
        return revision

    def _foreign(self, why: str) -> SettingsError:
        return SettingsError(
            f"{self} is a database of another program: {why}. Nothing was changed. "
            "Name a database of its own in database.url."
        )


def _used(_: object, record: ConnectionPoolEntry) -> None:
    record.info[LAST_USED] = monotonic()


class PostgresTransaction:
    """A transaction on a connection of its own.

    A driver that is interrupted in a statement leaves a connection behind that still holds its locks, so
    everything that was begun is done to its end.
    """

    is_alone = False

    def __init__(self, session: AsyncSession) -> None:
        self.inner = session.sync_session
        self._session = session

    async def read(self, work: Callable[[orm.Session], T]) -> T:
        """Ask the server."""
        return await whole(asyncio.ensure_future(self._session.run_sync(work)))

    async def write(self, work: Callable[[orm.Session], T]) -> T:
        """The same."""
        return await self.read(work)

    async def commit(self) -> None:
        """Tell the server."""
        await whole(asyncio.ensure_future(self._session.commit()))


def _upgrade(connection: Connection) -> Migration:
    # Of rows that are hidden from it, a migration must not make believe that there are none.
    connection.execute(text("SET LOCAL row_security = off"))
    migration = upgrade(connection)
    connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{MARK}'"))
    return migration


def _connector(address: PostgresAddress) -> Callable[..., Awaitable[Any]]:
    """What makes a connection to ``address``; the driver knows what each sslmode means."""
    try:
        import asyncpg
    except ImportError:
        raise SettingsError(
            "database.url names a PostgreSQL database, whose driver is not installed. "
            "Install it: pip install '/path/to/this/folder[postgres]', where the folder is Orchestrator's."
        ) from None
    tls = {"sslmode": address.sslmode}
    if address.sslrootcert is not None:
        tls["sslrootcert"] = address.sslrootcert

    async def connect(command_timeout: float | None = None) -> Any:  # noqa: ANN401  # the driver has no types
        if address.sslrootcert is not None and not Path(address.sslrootcert).is_file():  # noqa: ASYNC240  # once
            raise SettingsError(f"There is no file {address.sslrootcert}, which sslrootcert names.")
        return await asyncpg.connect(
            dsn=f"postgresql://?{urlencode(tls)}",
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            timeout=CONNECT_LIMIT_S,
            command_timeout=command_timeout,
            server_settings={"application_name": "orchestrator"},
        )

    return connect


def _sqlstate(error: Exception) -> str:
    driver_error = error.orig if isinstance(error, DBAPIError) else error
    return getattr(driver_error, "sqlstate", None) or ""


def _is_mistrust(error: Exception) -> bool:
    """Whether the server's certificate was not accepted."""
    return isinstance(_origin(error), SSLCertVerificationError)


def _reason(error: Exception) -> str:
    """What the driver says, on one line and without its own name."""
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    said = _origin(error)
    return " ".join(str(said).split()).rstrip(".") or type(said).__name__


def _origin(error: BaseException) -> BaseException:
    """What a chain of errors began with: the driver's own."""
    return _origin(error.__cause__) if error.__cause__ else error

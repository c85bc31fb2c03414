"""On PostgreSQL the server is the second wall: past every filter of ours it shows nothing of others."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Final

import asyncpg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from orchestrator.core.errors import SettingsError
from orchestrator.core.postgres_address import PostgresAddress
from orchestrator.db import SYSTEM, Database
from orchestrator.db.migrating import newest
from orchestrator.db.postgres import PostgresStore
from orchestrator.db.row_security import SYSTEM_ROLE, USER_ROLE, enter
from orchestrator.features.lessons.tables import SessionRow
from support.planted import all_tables, owned_tables
from support.postgres_server import PASSWORD, QUICK, USER, own_postgres_server, programs
from support.session_rows import row
from support.tables import server_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

from support.postgres_server import Databases

pytestmark = pytest.mark.postgres

BEYOND_ROWS: Final = (
    "DROP TABLE lesson_sessions",
    "ALTER TABLE lesson_sessions DISABLE ROW LEVEL SECURITY",
    "TRUNCATE lesson_sessions",
    "UPDATE alembic_version SET version_num = '9999'",
    "CREATE TABLE mine (id int)",
    "COPY lesson_sessions TO PROGRAM 'cat'",
)
INSERT: Final = (
    "INSERT INTO lesson_sessions (id, owner, topic, metadata, created_at, runs, intent) "
    "VALUES ('new', '{owner}', 'forged', '{{}}', now(), 0, 'none')"
)
_NUMBERS = count(1)


@pytest.fixture
async def name(postgres: Databases) -> AsyncIterator[str]:
    """An empty database."""
    async with postgres.fresh() as name:
        yield name


@pytest.fixture
async def database(postgres: Databases, name: str) -> AsyncIterator[Database]:
    """A database with one row of each of two owners, on one connection, entered as the server's superuser."""
    async with database_at(postgres.url(name)) as database:
        for owner in ("ann", "bob"):
            async with database.session(owner) as session:
                session.add(row(f"of-{owner}"))
        yield database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """A server of one's own: roles are the whole server's, and here there are none yet."""
    with own_postgres_server(tmp_path_factory.mktemp("postgres"), QUICK) as server:
        yield server.databases


def database_at(url: str) -> Database:
    """The database of that address, to be entered."""
    return Database(PostgresStore(PostgresAddress.parse(url), most_open=1, most_idle=1))


@asynccontextmanager
async def someone(postgres: Databases, name: str, rights: str = "") -> AsyncGenerator[tuple[str, str]]:
    """A new user of the server: the name, and the address of that database as this user."""
    user = f"user_{name}_{next(_NUMBERS)}"
    await postgres.do(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD}' {rights}")
    try:
        yield user, postgres.url(name).replace(f"{USER}:", f"{user}:")
    finally:
        await postgres.do(f"REASSIGN OWNED BY {user} TO {USER}; DROP OWNED BY {user}", name)
        await postgres.do(f"REASSIGN OWNED BY {user} TO {USER}; DROP OWNED BY {user}; DROP ROLE {user}")


@asynccontextmanager
async def its_owner(postgres: Databases, name: str) -> AsyncGenerator[str]:
    """The address of that database as its owner, who is no superuser and a member of both roles."""
    async with postgres.fresh() as other, database_at(postgres.url(other)):
        pass  # so that there are roles
    async with someone(postgres, name, "INHERIT") as (owner, url):
        await postgres.do(f"GRANT {USER_ROLE}, {SYSTEM_ROLE} TO {owner}")
        await postgres.do(f"ALTER DATABASE {name} OWNER TO {owner}")
        try:
            yield url
        finally:
            await postgres.do(f"ALTER DATABASE {name} OWNER TO {USER}")


async def become(connection: AsyncConnection, role: str, user: str) -> None:
    """What a session does as it begins, and nothing else of it."""
    await connection.run_sync(enter, role, user)


# -- past the repository -----------------------------------------------------------------------------


async def test_plain_sql_sees_its_users_rows_only(database: Database) -> None:
    """Nothing narrows the query but the server."""
    seen = {
        (USER_ROLE, "ann"): ["of-ann"],
        (USER_ROLE, "bob"): ["of-bob"],
        (USER_ROLE, "ann' OR 'a'='a"): [],
        (USER_ROLE, ""): [],
        (SYSTEM_ROLE, ""): ["of-ann", "of-bob"],
    }
    for (role, user), expected in seen.items():
        async with server_of(database).connect() as connection:
            await become(connection, role, user)
            found = await connection.scalars(text("SELECT id FROM lesson_sessions ORDER BY id"))
            assert list(found) == expected


async def test_a_session_without_its_filter_sees_nothing_of_others(database: Database) -> None:
    """The real session, entered as every room does; only the table is asked instead of the class."""
    async with database.session("ann") as session:
        connection = await session._transaction._session.connection()  # type: ignore[attr-defined]  # PostgreSQL's
        assert list(await connection.scalars(select(SessionRow.__table__.c.id))) == ["of-ann"]
        changed = await connection.execute(text("UPDATE lesson_sessions SET topic = 'mine'"))
        removed = await connection.execute(text("DELETE FROM lesson_sessions WHERE owner = 'bob'"))
        assert (changed.rowcount, removed.rowcount) == (1, 0)
    async with database.session(SYSTEM) as session:
        kept = {found.id: found.topic for found in await session.all(select(SessionRow))}
    assert kept == {"of-ann": "mine", "of-bob": "tides"}


async def test_no_row_is_written_in_another_name(database: Database) -> None:
    """Neither a new one nor one that is given away."""
    give = "UPDATE lesson_sessions SET owner = '{owner}'"
    forged = [statement.format(owner=owner) for statement in (INSERT, give) for owner in ("bob", "")]
    async with server_of(database).connect() as connection:
        await become(connection, USER_ROLE, "ann")
        await refused(connection, forged, "row-level security policy")


async def test_neither_role_may_do_more_than_to_read_and_change_rows(database: Database) -> None:
    """The system sees everybody's rows, and is no administrator."""
    for role in (USER_ROLE, SYSTEM_ROLE):
        async with server_of(database).connect() as connection:
            await become(connection, role, "ann")
            await refused(connection, BEYOND_ROWS, r"permission denied|must be owner|must be superuser")


async def refused(connection: AsyncConnection, statements: Iterable[str], reason: str) -> None:
    """See each of the statements refused for that reason."""
    for statement in statements:
        with pytest.raises(DBAPIError, match=reason):
            async with connection.begin_nested():
                await connection.execute(text(statement))


async def test_every_table_has_its_wall(database: Database) -> None:
    """Whoever makes a table protects it in its migration, or else reserves it for the system."""
    every, owned = all_tables(), owned_tables()
    async with server_of(database).connect() as connection:
        walled = set(
            await connection.scalars(
                text("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
            )
        )
        policies = await connection.execute(text("SELECT tablename, policyname FROM pg_policies"))
    found = {(table, policy) for table, policy in policies}
    assert walled >= every
    assert found >= {(table, USER_ROLE) for table in owned}
    assert found == {(table, USER_ROLE) for table in owned} | {(table, SYSTEM_ROLE) for table in walled}


# -- a connection that is given back -----------------------------------------------------------------


async def test_a_connection_that_is_given_back_has_no_role_left(database: Database, name: str) -> None:
    """Whatever ended its session: a commit, an error, an error of the server, or a caller who went away."""

    async def fails(error: BaseException) -> None:
        async with database.session("ann") as session:
            await session.all(select(SessionRow))
            raise error

    async def fails_in_the_server() -> None:
        async with database.session("ann") as session:
            session.add(row("of-bob"))

    async def goes_away() -> None:
        task = asyncio.create_task(fails(RuntimeError()))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await task

    async def commits() -> None:
        async with database.session(SYSTEM) as session:
            await session.all(select(SessionRow))

    for use in (commits, lambda: fails(RuntimeError()), fails_in_the_server, goes_away):
        await asyncio.gather(use(), return_exceptions=True)
        async with server_of(database).connect() as connection:  # the only one there is
            left = await connection.execute(
                text("SELECT current_user, current_setting('role'), current_setting('orchestrator.user')")
            )
            assert left.one() == (USER, "none", "")


# -- who may enter -----------------------------------------------------------------------------------


async def test_the_tables_owner_sees_nothing_before_he_is_someone(postgres: Databases, name: str) -> None:
    """Nor does who is a member of both roles: a query that forgot to take one finds no row."""
    async with its_owner(postgres, name) as url, database_at(url) as database:
        async with database.session("ann") as session:
            session.add(row("of-ann"))
        async with server_of(database).connect() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM lesson_sessions")) == 0


async def test_who_could_go_past_the_wall_is_told_at_the_start(postgres: Databases, name: str) -> None:
    """It works, with a warning; a user who has nothing but both roles gets none."""

    async def said_to(url: str) -> list[str]:
        with capture_logs() as logs:
            async with database_at(url):
                return [entry["event"] for entry in logs if entry["log_level"] == "warning"]

    async with (
        someone(postgres, name) as (clerk, clerks),
        someone(postgres, name, "BYPASSRLS") as (passer, passers),
        someone(postgres, name) as (owner, owners),
    ):
        assert ["is a superuser" in said for said in await said_to(postgres.url(name))] == [True]
        await postgres.do(f"GRANT {USER_ROLE}, {SYSTEM_ROLE} TO {clerk}, {passer}, {owner}")
        assert await said_to(clerks) == []
        assert ["has BYPASSRLS" in said for said in await said_to(passers)] == [True]
        await postgres.do(f"ALTER TABLE alembic_version OWNER TO {owner}", name)
        assert ["owns the tables" in said for said in await said_to(owners)] == [True]


@pytest.mark.parametrize(
    ("undone", "mended_by"),
    [
        ("DROP POLICY orchestrator_user ON lesson_spending", "CREATE POLICY orchestrator_user ON lesson_sp"),
        ("ALTER TABLE lesson_sessions NO FORCE ROW LEVEL SECURITY", "ALTER TABLE lesson_sessions FORCE ROW"),
        ("REVOKE UPDATE ON lesson_sessions FROM orchestrator_user", "GRANT UPDATE ON lesson_sessions TO orc"),
        ("REVOKE USAGE ON SCHEMA public FROM PUBLIC", "GRANT USAGE ON SCHEMA public TO orchestrator_system"),
    ],
)
async def test_what_is_lacking_is_told_as_the_statements_that_mend_it(
    postgres: Databases, name: str, undone: str, mended_by: str
) -> None:
    """As after a restore that left rights behind; once they were run, all is well."""
    async with database_at(postgres.url(name)):
        pass
    await postgres.do(undone, name)
    with pytest.raises(SettingsError, match="row-level security") as refused:
        await database_at(postgres.url(name)).pending()
    assert mended_by in refused.value.message
    await postgres.do(refused.value.message.partition(" run: ")[2], name)
    assert not (await database_at(postgres.url(name)).pending()).changes


async def test_who_may_make_no_roles_is_told_what_to_have_run(server: Databases) -> None:
    """Word for word, before anything is changed; then the same user migrates and serves."""
    async with server.fresh() as name, someone(server, name) as (owner, url):
        await server.do(f"ALTER DATABASE {name} OWNER TO {owner}")
        with pytest.raises(
            SettingsError, match="administrator run: CREATE ROLE orchestrator_user"
        ) as refused:
            await database_at(url).migrate(lambda: None)
        assert (await database_at(url).pending()).before is None
        script = refused.value.message.partition(" run: ")[2].removesuffix(" Nothing was changed.")
        await server.do(script)
        async with database_at(url) as database, database.session("ann") as session:
            session.add(row("of-ann"))
        await server.do(f"ALTER DATABASE {name} OWNER TO {USER}")


async def test_who_may_make_roles_needs_nobody(server: Databases) -> None:
    """A user with CREATEROLE that owns its database starts the service on it as it is."""
    await server.do("DROP ROLE IF EXISTS orchestrator_user; DROP ROLE IF EXISTS orchestrator_system")
    async with server.fresh() as name, someone(server, name, "CREATEROLE") as (owner, url):
        await server.do(f"ALTER DATABASE {name} OWNER TO {owner}")
        async with database_at(url) as database:
            async with database.session("ann") as session:
                session.add(row("of-ann"))
            async with database.session(SYSTEM) as session:
                assert await session.all(select(SessionRow.id)) == ["of-ann"]
        await server.do(f"ALTER DATABASE {name} OWNER TO {USER}")


async def test_databases_of_one_server_make_the_roles_together(server: Databases) -> None:
    """Roles are the server's, migrations are a database's: whoever is second waits, and finds them made."""
    await server.do("DROP ROLE IF EXISTS orchestrator_user; DROP ROLE IF EXISTS orchestrator_system")
    other = await asyncpg.connect(server.url())
    transaction = other.transaction()
    await transaction.start()
    await other.execute("CREATE ROLE orchestrator_user NOLOGIN; CREATE ROLE orchestrator_system NOLOGIN")
    async with server.fresh() as name:
        migrating = asyncio.create_task(database_at(server.url(name)).migrate(lambda: None))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not migrating.done() and not await other.fetchval(waiting):  # noqa: ASYNC110  # another process's state
            await asyncio.sleep(0)
        assert not migrating.done()
        await transaction.commit()
        assert (await migrating).after == newest()
    await other.close()


async def test_a_role_that_would_see_everything_is_refused(server: Databases) -> None:
    """Somebody made it a superuser, and the wall would not be there."""
    async with server.fresh() as name:
        async with database_at(server.url(name)):
            pass
        await server.do("ALTER ROLE orchestrator_user SUPERUSER")
        with pytest.raises(SettingsError, match="ALTER ROLE orchestrator_user NOSUPERUSER NOBYPASSRLS"):
            await database_at(server.url(name)).pending()
        await server.do("ALTER ROLE orchestrator_user NOSUPERUSER")


async def test_a_dump_by_the_tables_owner_has_every_row(postgres: Databases, name: str) -> None:
    """As the system, for whom the wall is open; the command is the one of docs/tenancy.md."""
    async with its_owner(postgres, name) as url:
        async with database_at(url) as database:
            for user in ("ann", "bob"):
                async with database.session(user) as session:
                    session.add(row(f"of-{user}"))
        command = [str(programs() / "pg_dump"), "--role=orchestrator_system", "--enable-row-security", url]
        dump = await asyncio.to_thread(lambda: subprocess.check_output(command, text=True))
    assert "of-ann" in dump
    assert "of-bob" in dump
    assert "CREATE POLICY orchestrator_user" in dump


async def test_a_data_migration_cannot_overlook_rows(postgres: Databases, name: str) -> None:
    """Rows that are hidden from the tables' owner are an error to it, and not absent."""
    async with its_owner(postgres, name) as url:
        async with database_at(url):
            pass
        connection = await asyncpg.connect(url)
        await connection.execute("SET row_security = off")  # as migrations do
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security policy"):
            await connection.execute("UPDATE lesson_sessions SET topic = 'seen'")
        await connection.close()

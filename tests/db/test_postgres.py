"""Tables in PostgreSQL: refused untouched when it cannot be ours, healed when the server comes back."""

from __future__ import annotations

import asyncio
import socket
import sys
from datetime import date
from typing import TYPE_CHECKING

import asyncpg
import pytest
from sqlalchemy import func, select, text

from orchestrator.agents.budget import Entry
from orchestrator.agents.spending import SpendingLedger, SpendingRow
from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import InvalidInputError, SettingsError, UnavailableError
from orchestrator.core.postgres_address import PostgresAddress
from orchestrator.db import SYSTEM, Database
from orchestrator.db import database as database_module
from orchestrator.db import postgres as postgres_store
from orchestrator.db.migrating import APPLICATION_ID, newest
from orchestrator.db.postgres import PostgresStore
from orchestrator.features.lessons.tables import SessionRow
from support.postgres_server import PASSWORD, own_postgres_server
from support.services import LOOPBACK
from support.session_rows import row
from support.tables import server_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from support.postgres_server import Databases

pytestmark = pytest.mark.postgres


@pytest.fixture
async def name(postgres: Databases) -> AsyncIterator[str]:
    """An empty database."""
    async with postgres.fresh() as name:
        yield name


def database_at(url: str, *, most_open: int = 25, most_idle: int = 5) -> Database:
    """The database of that address, to be entered."""
    return Database(PostgresStore(PostgresAddress.parse(url), most_open=most_open, most_idle=most_idle))


async def opened(url: str) -> None:
    """Open the database, and close it."""
    async with database_at(url):
        pass


async def relations(url: str) -> set[tuple[str, str]]:
    """What is kept in the database, by name and kind."""
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch(
            "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
        )
    finally:
        await connection.close()
    return {(relation, kind) for relation, kind in found}


# -- whose database it is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made_by_others", "reason"),
    [
        (
            "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0001')",
            "another program keeps the version of its tables there",
        ),
        ("CREATE TABLE lesson_sessions (title text)", "a table lesson_sessions that Orchestrator did not"),
    ],
)
async def test_a_database_of_another_program_is_refused_untouched(
    postgres: Databases, name: str, made_by_others: str, reason: str
) -> None:
    """By what it has in it; the sentence says what to do, and nothing appears beside it."""
    await postgres.do(made_by_others, name)
    before = await relations(postgres.url(name))

    with pytest.raises(SettingsError, match=f"{reason}.*Nothing was changed.*in database.url"):
        await opened(postgres.url(name))

    assert await relations(postgres.url(name)) == before


async def test_tables_of_others_beside_ours_are_left_alone(postgres: Databases, name: str) -> None:
    """A database may be shared as long as no name is taken twice."""
    await postgres.do("CREATE TABLE customers (id int); INSERT INTO customers VALUES (1)", name)
    async with database_at(postgres.url(name)) as database, server_of(database).connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM customers")) == 1
        assert not (await database.pending()).changes


async def test_a_newer_versions_database_is_refused_by_name(postgres: Databases, name: str) -> None:
    """Its revision stays what it was."""
    await opened(postgres.url(name))
    await postgres.do("UPDATE alembic_version SET version_num = '9999'", name)

    with pytest.raises(SettingsError, match=r"newer version of Orchestrator .*9999.* Start that version"):
        await opened(postgres.url(name))
    with pytest.raises(SettingsError, match="newer version"):
        await database_at(postgres.url(name)).pending()

    async with asyncpg.create_pool(postgres.url(name), min_size=1, max_size=1) as pool:
        assert await pool.fetchval("SELECT version_num FROM alembic_version") == "9999"


async def test_an_old_server_is_refused(
    postgres: Databases, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its version, as it says it itself."""
    monkeypatch.setattr(postgres_store, "OLDEST_VERSION", 99)
    with pytest.raises(SettingsError, match=r"is PostgreSQL \d\d; Orchestrator needs 99 or later"):
        await opened(postgres.url(name))
    assert await relations(postgres.url(name)) == set()


async def test_a_database_that_cannot_hold_every_character_is_refused(postgres: Databases) -> None:
    """Text would be lost, or refused long after the start."""
    await postgres.do(
        "CREATE DATABASE narrow ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    )
    try:
        with pytest.raises(SettingsError, match=r"keeps text as LATIN1.*ENCODING 'UTF8'"):
            await opened(postgres.url("narrow"))
    finally:
        await postgres.do("DROP DATABASE narrow WITH (FORCE)")


# -- who may enter -----------------------------------------------------------------------------------


async def test_a_wrong_password_is_told_without_it(postgres: Databases, name: str) -> None:
    """Whatever people type there is not repeated, nor is the right one known."""
    wrong = "Tr0ub4dor&3"
    with pytest.raises(SettingsError, match=r"password authentication failed .*Check the user") as refused:
        await opened(postgres.url(name, password=wrong))
    assert "Tr0ub4dor" not in refused.value.message
    assert PASSWORD not in repr(PostgresAddress.parse(postgres.url(name)))
    assert PASSWORD not in str(database_at(postgres.url(name)))


async def test_a_database_that_is_not_there_is_named(postgres: Databases) -> None:
    """With how to make it."""
    with pytest.raises(SettingsError, match=r'"nowhere" does not exist.*CREATE DATABASE "nowhere"'):
        await opened(postgres.url("nowhere"))


async def test_a_user_who_may_make_no_tables_is_told_who_may(postgres: Databases, name: str) -> None:
    """Once their owner has made them, such a user can work with them."""
    await postgres.do(f"CREATE ROLE clerk_{name} LOGIN PASSWORD '{PASSWORD}'")
    clerks = postgres.url(name).replace("orchestrator:", f"clerk_{name}:")
    try:
        with pytest.raises(SettingsError, match=r"permission denied.*run `orchestrator migrate` as a user"):
            await opened(clerks)
        await opened(postgres.url(name))
        await postgres.do(f"GRANT orchestrator_user, orchestrator_system TO clerk_{name}")
        async with database_at(clerks) as database:
            async with database.session("ann") as session:
                session.add(row("one"))
            async with database.session("ann") as session:
                assert await session.all(select(SessionRow.id)) == ["one"]
    finally:
        await postgres.do(f"DROP OWNED BY clerk_{name}; DROP ROLE clerk_{name}", name)


@pytest.mark.parametrize(
    "granted",
    ["USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public", "INSERT ON alembic_version"],
)
async def test_a_user_who_may_not_change_rows_is_told_at_the_start(
    postgres: Databases, name: str, granted: str
) -> None:
    """Not by the first request; with what is to be granted, which rights on tables are not."""
    await opened(postgres.url(name))
    await postgres.do(f"CREATE ROLE clerk_{name} LOGIN PASSWORD '{PASSWORD}'")
    clerks = postgres.url(name).replace("orchestrator:", f"clerk_{name}:")
    try:
        await postgres.do(f"GRANT {granted} TO clerk_{name}", name)
        with pytest.raises(SettingsError, match=f"run: GRANT orchestrator_user TO clerk_{name}"):
            await opened(clerks)
        with pytest.raises(SettingsError, match=f"run: GRANT orchestrator_user TO clerk_{name}"):
            await database_at(clerks).pending()
    finally:
        await postgres.do(f"DROP OWNED BY clerk_{name}; DROP ROLE clerk_{name}", name)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, and the sentence says which."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SettingsError, match=r"driver is not installed.*\[postgres\]"):
        database_at("postgres://host/name")


async def test_a_certificate_that_is_not_there_is_named(postgres: Databases, name: str) -> None:
    """Before anything is sent."""
    address = postgres.url(name).replace("sslmode=disable", "sslmode=verify-full&sslrootcert=/gone.pem")
    with pytest.raises(SettingsError, match=r"no file /gone\.pem, which sslrootcert names"):
        await opened(address)


async def test_a_server_without_tls_is_refused_where_it_is_required(postgres: Databases, name: str) -> None:
    """``require`` never falls back to plain text; ``prefer`` does."""
    required = postgres.url(name).replace("disable", "require")
    with pytest.raises(UnavailableError, match="SSL"):
        await opened(required)
    await opened(postgres.url(name).replace("disable", "prefer"))


# -- one migrates, the others wait -------------------------------------------------------------------


async def test_who_comes_while_another_migrates_waits_and_says_so(postgres: Databases, name: str) -> None:
    """Until its transaction ends; then there is nothing left to do but what it did not."""
    waits = asyncio.Event()
    other = await asyncpg.connect(postgres.url(name))
    transaction = other.transaction()
    await transaction.start()
    await other.execute(f"SELECT pg_advisory_xact_lock({APPLICATION_ID})")

    migrating = asyncio.create_task(database_at(postgres.url(name)).migrate(waits.set))
    await waits.wait()
    assert not migrating.done()
    assert await relations(postgres.url(name)) == set()
    await transaction.rollback()
    await other.close()

    assert (await migrating).after == newest()


async def test_of_many_that_migrate_at_once_one_does(postgres: Databases, name: str) -> None:
    """The others find everything done."""
    done = await asyncio.gather(*[database_at(postgres.url(name)).migrate(lambda: None) for _ in range(8)])
    assert sorted(migration.changes for migration in done) == [False] * 7 + [True]


# -- side by side ------------------------------------------------------------------------------------


async def test_sessions_run_side_by_side(postgres: Databases, name: str) -> None:
    """One that is open keeps no other from its work."""
    async with database_at(postgres.url(name)) as database, database.session("ann") as first:
        first.add(row("first"))
        await first.flush()
        async with database.session("ann") as second:
            second.add(row("second"))
        async with database.session("ann") as third:
            assert await third.all(select(SessionRow.id)) == ["second"]


async def test_who_is_alone_with_something_is_so_in_every_process(postgres: Databases, name: str) -> None:
    """Another database object stands for another process; it goes on when the first has ended."""
    order: list[str] = []
    asks = asyncio.Event()
    async with database_at(postgres.url(name)) as here, database_at(postgres.url(name)) as there:
        async with here.session(SYSTEM) as session:
            await session.alone("spending")

            async def second() -> None:
                async with there.session(SYSTEM) as session:
                    await session.alone("something else")
                    asks.set()
                    await session.alone("spending")
                    order.append("has it")

            waiting = asyncio.create_task(second())
            await asks.wait()
            async with there.session(SYSTEM) as another:
                assert await another.all(select(SpendingRow)) == []
            order.append("ends")
        await waiting
    assert order == ["ends", "has it"]


async def test_the_servers_own_isolation_changes_nothing(postgres: Databases, name: str) -> None:
    """Who was alone after another one sees what that one wrote, also where snapshots are older by default."""
    await postgres.do(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    budgets = []
    async with database_at(postgres.url(name)) as here, database_at(postgres.url(name)) as there:

        async def reserve(database: Database, key: str) -> None:
            entry = Entry(key, "ann", "one", 60, date(2026, 11, 21))
            ledger = SpendingLedger(database, SystemClock())
            await ledger.reserve(entry, lambda in_session, _: budgets.append(in_session))

        async with here.session(SYSTEM) as session:
            await session.alone(SpendingRow.__tablename__)
            waiting = [asyncio.create_task(reserve(there, key)) for key in ("first", "second")]
            await locks_waited_for(postgres, name, 2)
        await asyncio.gather(*waiting)
    assert budgets == [0, 60]


async def test_no_more_connections_are_opened_than_set(
    postgres: Databases, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds none free for long is told which setting gives more; more idle ones than set are closed."""
    monkeypatch.setattr(postgres_store, "FREE_CONNECTION_LIMIT_S", 0.05)
    async with database_at(postgres.url(name), most_open=3, most_idle=1) as database:
        async with (
            database.session("ann") as one,
            database.session("ann") as two,
            database.session("ann") as three,
        ):
            for session in (one, two, three):
                assert not database.is_behind
                await session.all(select(SessionRow))
            assert database.is_behind
            with pytest.raises(UnavailableError, match=r"are in use\. .*raise database\.max_open_conns"):
                async with database.session("ann") as fourth:
                    await fourth.all(select(SessionRow))
            assert await connections(postgres, name) == 3
        assert await connections(postgres, name) == 1


async def locks_waited_for(postgres: Databases, name: str, count: int) -> None:
    """Until so many sessions of that database wait for a lock of ours."""
    asking = await asyncpg.connect(postgres.url(name))
    try:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = $1"
        number = await asking.fetchval("SELECT oid FROM pg_database WHERE datname = $1", name)
        while await asking.fetchval(query, number) < count:  # noqa: ASYNC110  # another process's state
            await asyncio.sleep(0)
    finally:
        await asking.close()


async def connections(postgres: Databases, name: str) -> int:
    """How many connections the service has to that database."""
    asking = await asyncpg.connect(postgres.url())
    try:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'orchestrator'"
        )
        return int(await asking.fetchval(query, name))
    finally:
        await asking.close()


# -- what goes wrong in a session --------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["a\x00b", "a\ud800b"])
async def test_what_is_no_text_is_the_callers_mistake(postgres: Databases, name: str, topic: str) -> None:
    """PostgreSQL keeps neither U+0000 nor half a character; in JSON both are escapes, and kept."""
    async with database_at(postgres.url(name)) as database:
        with pytest.raises(InvalidInputError, match="a character that cannot be kept"):
            async with database.session("ann") as session:
                session.add(row("bad", topic=topic))
        async with database.session("ann") as session:
            session.add(row("good", brought={"text": topic}))
        async with database.session("ann") as session:
            assert await session.all(select(SessionRow.brought)) == [{"text": topic}]


async def test_a_server_that_only_reads_is_not_our_own_fault(postgres: Databases, name: str) -> None:
    """As the old primary does after a fail-over: whoever writes may try again, reading goes on."""
    await opened(postgres.url(name))
    await postgres.do(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with database_at(postgres.url(name)) as database:
        with pytest.raises(UnavailableError, match=r"read-only transaction\. Try again"):
            await write(database, "one")
        async with database.session("ann") as session:
            assert await session.all(select(SessionRow.id)) == []


async def write(database: Database, key: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Add a row of that key; ``meanwhile`` something happens, before the commit."""
    async with database.session("ann") as session:
        session.add(row(key))
        await session.flush()
        meanwhile()


async def test_a_restart_costs_those_an_error_who_come_meanwhile(tmp_path: Path) -> None:
    """Before, within and after: what was committed is there, what was under way is undone, all goes on."""
    away = pytest.raises(UnavailableError, match="cannot be reached right now")
    with own_postgres_server(tmp_path) as server:
        async with database_at(server.databases.url()) as database:
            await write(database, "before")
            with away:
                await write(database, "killed", server.kill)
            with away:
                await write(database, "away")
            with away:
                await database.check()
            server.start()
            await database.check()
            await write(database, "after")
            with away:
                await write(database, "stopped", server.stop)
            server.start()
            async with database.session("ann") as session:
                assert set(await session.all(select(SessionRow.id))) == {"before", "after"}


async def test_a_query_that_is_cut_off_is_told(tmp_path: Path) -> None:
    """As one that came while the server was away."""
    with own_postgres_server(tmp_path) as server:
        async with database_at(server.databases.url()) as database:
            await write(database, "a row for the query to sleep on")
            cut = asyncio.create_task(sleep_in(database))
            while not await sleeping(server.databases):
                continue
            server.kill()
            with pytest.raises(UnavailableError, match="cannot be reached right now"):
                await cut


async def sleep_in(database: Database) -> None:
    """A query that takes long."""
    async with database.session("ann") as session:
        await session.all(select(SessionRow).where(func.pg_sleep(60).is_not(None)))


async def sleeping(databases: Databases) -> int:
    """How many such queries run."""
    connection = await asyncpg.connect(databases.url())
    try:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def test_who_starts_before_the_server_may_try_again(tmp_path: Path) -> None:
    """The same database can be entered once the server is there."""
    with own_postgres_server(tmp_path) as server:
        database = database_at(server.databases.url())
        server.stop()
        with pytest.raises(UnavailableError, match="cannot be reached right now"):
            await database.__aenter__()
        server.start()
        async with database:
            await write(database, "first")


async def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a broken network: the health check says so in time, and so does whoever starts."""
    monkeypatch.setattr(database_module, "ANSWER_LIMIT_S", 0.05)
    monkeypatch.setattr(postgres_store, "CONNECT_LIMIT_S", 0.05)
    with socket.create_server((LOOPBACK, 0)) as mute:
        database = database_at(f"postgres://ann@{LOOPBACK}:{mute.getsockname()[1]}/name")
        with pytest.raises(UnavailableError, match="did not answer in time"):
            await database.check()
        with pytest.raises(UnavailableError, match="did not answer in time"):
            await database.migrate(lambda: None)
        await database.close()

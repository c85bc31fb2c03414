"""Sessions know their owner: nobody sees or touches what belongs to another."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from alembic import command
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from orchestrator.core.errors import ForbiddenError, InternalError, SettingsError
from orchestrator.db import SYSTEM, Database
from orchestrator.db.database import migrations
from orchestrator.features.lessons.tables import Intent, SessionRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

MORNING = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A new database with one row of each of two owners."""
    async with Database(tmp_path / "tables.db") as database:
        for owner in ("ann", "bob"):
            async with database.session(owner) as session:
                session.add(row(f"of-{owner}"))
        yield database


def row(key: str, **fields: str) -> SessionRow:
    """A session row that names no owner unless told to."""
    return SessionRow(
        id=key, topic="tides", brought={}, created_at=MORNING, runs=0, intent=Intent.NONE, **fields
    )


async def everything(database: Database) -> dict[str, str]:
    """All rows, whoever they belong to: owner and topic."""
    async with database.session(SYSTEM) as session:
        return {found.owner: found.topic for found in await session.all(select(SessionRow))}


async def test_a_new_row_gets_its_sessions_owner(database: Database) -> None:
    """What is inserted without an owner belongs to whoever the session is of."""
    assert set(await everything(database)) == {"ann", "bob"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (select(SessionRow.id), ["of-ann"]),
        (select(SessionRow.id).where(SessionRow.owner == "bob"), []),
        (select(aliased(SessionRow).id), ["of-ann"]),
        (select(func.count()).select_from(SessionRow), [1]),
        (select(func.max(SessionRow.id)), ["of-ann"]),
        (
            select(select(func.max(SessionRow.id)).scalar_subquery().label("m")).select_from(SessionRow),
            ["of-ann"],
        ),
        (select(SessionRow.id).where(SessionRow.id.in_(select(aliased(SessionRow).id))), ["of-ann"]),
    ],
)
async def test_a_select_finds_its_owners_rows_only(
    database: Database, statement: object, expected: list[object]
) -> None:
    """However it is written: by column, alias, aggregate or subquery."""
    async with database.session("ann") as session:
        assert await session.all(statement) == expected  # type: ignore[arg-type]  # of several types


async def test_another_owners_rows_are_not_changed_or_deleted(database: Database) -> None:
    """Updates and deletes reach the session's owner's rows only, also when they ask for all."""
    async with database.session("ann") as session:
        assert await session.change(update(SessionRow).values(topic="mine")) == 1
        assert await session.change(delete(SessionRow).where(SessionRow.owner == "bob")) == 0
    assert await everything(database) == {"ann": "mine", "bob": "tides"}


async def test_a_row_in_another_name_is_refused(database: Database) -> None:
    """Neither a new row nor a given away one may carry another's name, and the transaction is undone."""
    with pytest.raises(ForbiddenError, match="belongs to someone else"):
        async with database.session("ann") as session:
            session.add(row("forged", owner="bob"))

    async def give_away() -> None:
        async with database.session("ann") as session:
            for own in await session.all(select(SessionRow)):
                own.owner = "bob"

    with pytest.raises(ForbiddenError, match="belongs to someone else"):
        await give_away()
    assert await everything(database) == {"ann": "tides", "bob": "tides"}


@pytest.mark.parametrize(
    "statement",
    [
        text("SELECT * FROM lesson_sessions"),
        select(SessionRow.__table__),
        SessionRow.__table__.delete(),  # type: ignore[attr-defined]  # a Table at run time
        insert(SessionRow).values(id="x"),
    ],
)
async def test_statements_past_the_mapped_classes_are_refused(database: Database, statement: object) -> None:
    """Plain SQL, table-level statements and bulk inserts cannot be narrowed to an owner."""
    async with database.session("ann") as session:
        with pytest.raises(InternalError, match="mapped classes"):
            await session.all(statement)  # type: ignore[arg-type]  # what the types forbid too


async def test_the_system_must_name_the_owner_of_what_it_inserts(database: Database) -> None:
    """A row without an owner cannot exist."""
    with pytest.raises(IntegrityError, match="owner"):
        async with database.session(SYSTEM) as session:
            session.add(row("nobodys"))


async def test_a_session_of_nobody_is_refused(database: Database) -> None:
    """An empty owner is a mistake of the caller, not a way to see nothing."""
    with pytest.raises(ValueError, match="needs an owner"):
        async with database.session(""):
            pass


async def test_an_error_undoes_the_transaction(database: Database) -> None:
    """What was added before an error is not there after it."""

    async def fail_half_way() -> None:
        async with database.session("ann") as session:
            session.add(row("half"))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_half_way()
    async with database.session("ann") as session:
        assert await session.all(select(SessionRow.id)) == ["of-ann"]


async def test_cancelled_callers_do_not_keep_the_connection(database: Database) -> None:
    """Requests are cancelled at any point, and none may leave its locks behind."""

    async def write(number: int) -> None:
        async with database.session("ann") as session:
            session.add(row(f"never-{number}"))
            await session.flush()
            await session.all(select(SessionRow.id))
            raise RuntimeError

    for turns in range(40):
        writing = asyncio.create_task(write(turns))
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    async with database.session("ann") as session:
        assert await session.all(select(SessionRow.id)) == ["of-ann"]


async def test_moments_come_back_aware_and_in_utc(database: Database) -> None:
    """SQLite keeps no time zone; the column type does. A naive moment is refused."""
    async with database.session("ann") as session:
        found = await session.one(select(SessionRow))
    assert found is not None
    assert found.created_at == MORNING
    assert found.created_at.tzinfo is UTC


async def test_the_file_is_durable_and_checks_references(database: Database) -> None:
    """WAL, FULL sync, foreign keys and a busy timeout are on for every connection."""
    async with database.engine.connect() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        answers = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in asked]
    assert answers == ["wal", 2, 1, 5000]


async def test_migrations_from_nothing_equal_the_tables(database: Database) -> None:
    """What the migrations build is exactly what the classes declare."""
    async with database.engine.connect() as connection:
        await connection.run_sync(lambda sync: command.check(migrations(sync)))


async def test_migrations_can_be_undone(database: Database) -> None:
    """Each migration knows its way back."""
    async with database.engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(migrations(sync), "base"))
        tables = await connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert [name for (name,) in tables] == ["alembic_version"]


async def test_opening_again_keeps_the_rows(tmp_path: Path) -> None:
    """Migrating a file that is up to date changes nothing."""
    for _ in range(2):
        async with Database(tmp_path / "tables.db") as database, database.session("ann") as session:
            if not await session.all(select(SessionRow)):
                session.add(row("kept"))
    async with Database(tmp_path / "tables.db") as database:
        assert await everything(database) == {"ann": "tides"}


def of_a_newer_version(file: Path) -> None:
    """Ours, with a migration that this version does not know."""
    asyncio.run(_made(file))
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")


def of_another_program(file: Path) -> None:
    """A sound database, which happens to use the same tool for its migrations."""
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("CREATE TABLE alembic_version (version_num TEXT)")
        raw.execute("INSERT INTO alembic_version VALUES ('0001')")


def of_random_bytes(file: Path) -> None:
    """No database at all."""
    file.write_bytes(b"\x07\xc5nothing that anybody wrote\x00" * 300)


def torn(file: Path) -> None:
    """Ours, with a page overwritten."""
    asyncio.run(_made(file))
    with file.open("r+b") as raw:
        raw.seek(4_096 * 2)
        raw.write(b"\xff" * 4_096)


async def _made(file: Path) -> None:
    async with Database(file):
        pass


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (of_a_newer_version, "newer version of Orchestrator .* Start that version"),
        (of_another_program, "database of another program.* Move it away"),
        (of_random_bytes, "damaged or no SQLite file.* Put back a copy"),
        (torn, "damaged or no SQLite file.* Put back a copy"),
    ],
)
def test_a_file_that_cannot_be_ours_is_refused_untouched(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """The sentence names the file and what to do; not a byte of it changes and nothing appears beside it."""
    file = tmp_path / "tables.db"
    spoil(file)
    before = file.read_bytes()

    with pytest.raises(SettingsError, match=reason) as refused:
        asyncio.run(_made(file))

    assert str(file) in refused.value.message
    assert "sqlalche.me" not in refused.value.message
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tables.db"]


def test_a_folder_that_cannot_take_the_file_is_named(tmp_path: Path) -> None:
    """Whatever else the driver says becomes a sentence too."""
    with pytest.raises(SettingsError, match=r"gone/tables\.db cannot be used: .* Check the rights"):
        asyncio.run(_made(tmp_path / "gone" / "tables.db"))


async def test_only_this_user_may_read_the_files(tmp_path: Path) -> None:
    """Also in a directory that others may enter, and under a umask that forbids nothing."""
    before = os.umask(0)
    try:
        async with Database(tmp_path / "tables.db") as database, database.session("ann") as session:
            session.add(row("mine"))
            await session.flush()
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("tables.db", "tables.db-wal", "tables.db-shm"), 0o600)

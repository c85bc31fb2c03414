"""Tables in a SQLite file: durable, private, and refused untouched when it cannot be ours."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from orchestrator.core.errors import SettingsError
from orchestrator.db import Database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def test_the_file_is_durable_and_checks_references(tmp_path: Path) -> None:
    """WAL, FULL sync, foreign keys and a busy timeout are on for every connection."""
    async with Database(tmp_path / "tables.db") as database:
        asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        answers = await database.store.apart(
            lambda connection: [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
        )
    assert answers == ["wal", 2, 1, 5000]


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
        async with Database(tmp_path / "tables.db"):
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("tables.db", "tables.db-wal", "tables.db-shm"), 0o600)

"""The connection to a SQLite file: reads are done at once, and what may wait keeps nobody from working."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from orchestrator.db.sqlite_connection import connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiosqlite import Connection


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a write-ahead log and a table, of which the numbers of threads are written down."""
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("CREATE TABLE seen (thread INTEGER)")
    return path


@pytest.fixture
async def connection(file: Path) -> AsyncIterator[Connection]:
    """A connection whose SQL function ``this_thread()`` tells where it is called."""
    made = await connected(str(file), isolation_level=None)
    await made.create_function("this_thread", 0, threading.get_ident)
    try:
        yield made
    finally:
        await made.close()


async def test_reads_are_done_at_once_and_writes_on_a_thread(connection: Connection) -> None:
    """A write may wait for the disk; a read has no reason to be handed to anybody."""
    await connection.execute("BEGIN")
    [(reading,)] = await (await connection.execute("SELECT this_thread()")).fetchall()
    await connection.execute("INSERT INTO seen VALUES (this_thread())")
    [(writing,)] = await (await connection.execute("SELECT thread FROM seen")).fetchall()
    await connection.commit()
    assert reading == threading.get_ident() != writing


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO seen VALUES (1)", "BEGIN IMMEDIATE", "UPDATE seen SET thread = 1", "DELETE FROM seen"],
)
async def test_who_waits_for_another_process_holds_up_nobody_else(
    file: Path, connection: Connection, statement: str
) -> None:
    """The event loop goes on meanwhile; here it is what lets the other one go."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.05, other.rollback)
        await connection.execute(statement)
        await connection.commit()


async def test_who_reads_waits_for_no_writer(file: Path, connection: Connection) -> None:
    """It sees what was committed before."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO seen VALUES (1)")
        assert list(await (await connection.execute("SELECT * FROM seen")).fetchall()) == []


async def test_what_was_undone_is_gone_and_the_next_transaction_is_sound(connection: Connection) -> None:
    """Whether something was written is known anew in each transaction."""
    await connection.execute("BEGIN")
    await connection.execute("INSERT INTO seen VALUES (1)")
    await connection.rollback()
    await connection.execute("BEGIN")
    assert list(await (await connection.execute("SELECT * FROM seen")).fetchall()) == []
    await connection.commit()
    assert not connection.in_transaction

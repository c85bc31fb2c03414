"""A session of a SQLite file: reads are done at once, and what may wait keeps nobody from working."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, event, select, update

from orchestrator.db import Database
from orchestrator.features.days.tables import SignalRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.db import Session


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the tables are."""
    return tmp_path / "tables.db"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    """A file with one row of Ada's."""
    async with Database(file) as database:
        async with database.session("ada") as session:
            session.add(signal("clo"))
        yield database


def signal(agent: str) -> SignalRow:
    """What an agent said."""
    return SignalRow(agent=agent, key="k", data={}, fetched_at=1.0, confirmed_at=1.0)


async def agents(session: Session) -> list[str]:
    """Who said something."""
    return await session.all(select(SignalRow.agent).order_by(SignalRow.agent))


async def test_a_read_is_done_before_anybody_elses_turn(database: Database) -> None:
    """The one connection is not held while others work."""
    others = list[str]()
    asyncio.get_running_loop().call_soon(others.append, "had their turn")
    async with database.session("ada") as session:
        assert await agents(session) == ["clo"]
    assert others == []


async def test_reads_are_done_where_they_are_asked_for_and_writes_on_a_thread(database: Database) -> None:
    """A write may wait for the disk; so may a read before which something is to be written."""
    done = list[tuple[str, bool]]()
    engine = await database.store.apart(lambda connection: connection.engine)

    def note(*given: object) -> None:
        done.append((str(given[2]).split()[0], threading.current_thread() is threading.main_thread()))

    event.listen(engine, "before_cursor_execute", note)
    async with database.session("ada") as session:
        await agents(session)
        session.add(signal("ta"))
        await agents(session)
        await session.change(delete(SignalRow))
        session.add(signal("alex"))
    event.remove(engine, "before_cursor_execute", note)
    assert [each for each in done if each[0] != "BEGIN"] == [
        ("SELECT", True),
        ("INSERT", False),
        ("SELECT", False),
        ("DELETE", False),
        ("INSERT", False),
    ]


@pytest.mark.parametrize("way", ["add", "change", "flush"])
async def test_who_waits_for_another_process_holds_up_nobody_else(
    file: Path, database: Database, way: str
) -> None:
    """The event loop goes on meanwhile; here it is what lets the other one go."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.05, other.rollback)
        async with database.session("ada") as session:
            if way == "change":
                await session.change(update(SignalRow).values(etag="new"))
            else:
                session.add(signal("ta"))
            if way == "flush":
                await session.flush()


async def test_who_reads_waits_for_no_writer(file: Path, database: Database) -> None:
    """It sees what was committed before."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM day_signals")
        async with database.session("ada") as session:
            assert await agents(session) == ["clo"]


async def test_what_was_undone_is_gone_and_the_next_session_is_sound(database: Database) -> None:
    """Also where it was sent already."""

    async def fails() -> None:
        async with database.session("ada") as session:
            session.add(signal("ta"))
            await session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    async with database.session("ada") as session:
        assert await agents(session) == ["clo"]


async def test_who_goes_away_during_a_write_waits_for_its_end(file: Path, database: Database) -> None:
    """The connection is in the thread's hands until then; the next session finds it whole."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        async def write() -> None:
            async with database.session("ada") as session:
                session.add(signal("ta"))
                await session.flush()

        writing = asyncio.create_task(write())
        for _ in range(3):
            await asyncio.sleep(0)
            writing.cancel()
        assert not writing.done()
        other.rollback()
        with pytest.raises(asyncio.CancelledError):
            await writing
    async with database.session("ada") as session:
        assert await agents(session) == ["clo"]

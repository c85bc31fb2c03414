"""A session of a SQLite file: reads are done at once, and what may wait keeps nobody from working."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, event, select, update

from orchestrator.core.errors import UnavailableError
from orchestrator.db import Database
from orchestrator.db import sqlite as sqlite_module
from orchestrator.db.sqlite import LONGEST_LINE
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


async def add_signal(database: Database, data: str = "") -> None:
    """Ada's, in a session of its own."""
    async with database.session("ada") as session:
        row = signal("ta")
        row.data = data
        session.add(row)


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


async def test_only_what_may_wait_or_take_long_is_done_on_a_thread(database: Database) -> None:
    """Rows that were read or added are sent where they are; a statement may change any number of them."""
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
        ("INSERT", True),
        ("SELECT", True),
        ("DELETE", False),
        ("INSERT", True),
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


async def test_another_process_that_writes_for_too_long_is_told_of(
    file: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence for people, as an error that passes; nothing of the session is kept."""
    monkeypatch.setattr(sqlite_module, "PATIENCE", "PRAGMA busy_timeout=0")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="another process writes to it; try again"):
            await add_signal(database)
    async with database.session("ada") as session:
        assert await agents(session) == ["clo"]


async def test_who_waited_for_another_process_in_vain_has_no_lock(
    file: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are sent by the event loop, which waits for nobody, only once it has."""
    monkeypatch.setattr(sqlite_module, "PATIENCE", "PRAGMA busy_timeout=0")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        async with database.session("ada") as session:
            session.add(signal("ta"))
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                with pytest.raises(UnavailableError, match="another process writes to it"):
                    await session.flush()
            other.rollback()
    async with database.session("ada") as session:
        assert await agents(session) == ["clo", "ta"]


async def test_another_process_that_wrote_since_the_session_read_is_told_of(
    file: Path, database: Database
) -> None:
    """What was read is old by then, so SQLite does not even wait."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        async with database.session("ada") as session:
            await agents(session)
            other.execute("UPDATE day_signals SET etag = 'theirs'")
            with pytest.raises(UnavailableError, match="another process writes to it; try again"):
                await session.change(update(SignalRow).values(etag="ours"))


async def test_a_full_disk_is_told_of(database: Database) -> None:
    """What is there can be read meanwhile."""
    await database.store.apart(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1"))
    with pytest.raises(UnavailableError, match="its disk is full; make room there"):
        await add_signal(database, data="long" * 9_999)
    async with database.session("ada") as session:
        assert await agents(session) == ["clo"]


async def test_a_file_that_was_let_go_stays_so(database: Database) -> None:
    """Whoever comes after that, or waited for the session before, is told; nothing opens it again."""
    async with database.session("ada") as session:
        closing = asyncio.create_task(database.close())
        waiting = asyncio.create_task(add_signal(database))
        await asyncio.sleep(0)
        assert await agents(session) == ["clo"]
    await closing
    with pytest.raises(UnavailableError, match=r"tables\.db is closed, since the service stops"):
        await waiting
    with pytest.raises(UnavailableError, match="is closed"):
        await add_signal(database)
    with pytest.raises(UnavailableError, match="is closed"):
        await database.check()
    await database.close()


async def test_those_who_have_time_let_the_others_go_first(database: Database) -> None:
    """A line of theirs is told of, so that no more of them come."""
    gone, is_let_on, was_behind = list[str](), asyncio.Event(), list[bool]()

    async def go(name: str, *, has_time: bool) -> None:
        async with database.session("ada", has_time=has_time) as session:
            await agents(session)
            gone.append(name)
            await is_let_on.wait()

    first = asyncio.create_task(go("first", has_time=False))
    await asyncio.sleep(0)
    slow = [asyncio.create_task(go("slow", has_time=True)) for _ in range(LONGEST_LINE + 1)]
    was_behind.append(database.is_behind)
    quick = asyncio.create_task(go("quick", has_time=False))
    await asyncio.sleep(0)
    was_behind.append(database.is_behind)
    is_let_on.set()
    await asyncio.gather(first, quick, *slow)
    was_behind.append(database.is_behind)
    assert gone == ["first", "quick", *["slow"] * len(slow)]
    assert was_behind == [False, True, False]


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


async def test_who_goes_away_during_a_commit_is_called_back_for_all_that(
    file: Path, database: Database
) -> None:
    """What was done is durable, and others wait to hear so."""
    heard = list[str]()

    async def write() -> None:
        async with database.session("ada") as session:
            session.add(signal("ta"))
            session.after_commit(lambda: heard.append("committed"))

    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(write())
        for _ in range(3):
            await asyncio.sleep(0)
        writing.cancel()
        other.rollback()
        with pytest.raises(asyncio.CancelledError):
            await writing
    assert heard == ["committed"]
    async with database.session("ada") as session:
        assert await agents(session) == ["clo", "ta"]

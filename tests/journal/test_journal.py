"""The journal: one writer, groups that become durable together, files that are refused with their reason."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator.journal import Journal, JournalError, Statement, open_for_reading
from orchestrator.journal.errors import JournalFullError, JournalInUseError
from orchestrator.journal.lock import holder_of
from orchestrator.journal.schema import APPLICATION_ID, MIGRATIONS
from orchestrator.journal.writer import CHUNKS, GROUP_ROWS

if TYPE_CHECKING:
    from pathlib import Path

ADD = Statement(0, "INSERT INTO streams (number, name, owner) VALUES {rows}", 3)
NAMES = "SELECT name FROM streams ORDER BY number"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "journal.db"


def digest(path: Path) -> str:
    """What the file holds, to the byte."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_rows_staged_in_one_turn_become_durable_in_one_commit(path: Path) -> None:
    """What is waiting is committed as one group."""
    commits: list[int] = []
    journal = Journal(path)
    journal.listen(lambda group: commits.append(group.size), lambda _: None)
    groups = [journal.stage(ADD, (number, f"s{number}", "")) for number in range(1, 8)]
    journal.flush()
    await journal.durable(groups[-1])
    assert commits == [7]
    assert len(journal.read(NAMES)) == 7
    await journal.close()


@pytest.mark.parametrize("count", [1, 2, CHUNKS[0] - 1, CHUNKS[0] + 1, GROUP_ROWS, 2 * GROUP_ROWS + 345])
async def test_any_number_of_rows_arrives_once_and_in_order(path: Path, count: int) -> None:
    """However rows fall into statements and groups, none is lost, doubled or moved."""
    journal = Journal(path)
    groups = [journal.stage(ADD, (number, f"s{number:05}", "")) for number in range(1, count + 1)]
    journal.flush()
    await journal.durable(groups[-1])
    assert journal.read(NAMES) == [(f"s{number:05}",) for number in range(1, count + 1)]
    await journal.close()


async def test_lazy_rows_are_written_without_anyone_asking_again(path: Path) -> None:
    """A row that does not wake the writer still reaches the disk by itself."""
    journal = Journal(path)
    group = journal.stage(ADD, (1, "lazy", ""))
    journal.flush_soon()
    await journal.durable(group)
    assert journal.read(NAMES) == [("lazy",)]
    await journal.close()


async def test_closing_writes_what_was_only_staged(path: Path) -> None:
    """Nothing staged is lost by closing."""
    journal = Journal(path)
    journal.stage(ADD, (1, "staged", ""))
    await journal.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute(NAMES).fetchall() == [("staged",)]
    connection.close()


async def test_a_commit_is_synced_to_the_disk_in_wal_mode(path: Path) -> None:
    """The file is in WAL mode; the writer's connection syncs every commit (synchronous = FULL is 2)."""
    journal = Journal(path)
    connection = journal._writer._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    await journal.close()


async def test_readers_cannot_write(path: Path) -> None:
    """Only the writer's connection can change the file."""
    await Journal(path).close()
    reader = open_for_reading(path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM streams")
    reader.close()


async def test_a_second_opening_is_refused_naming_the_pid(path: Path) -> None:
    """Two writers cannot be: the second one is told who is first."""
    journal = Journal(path)
    with pytest.raises(JournalInUseError, match=f"in use by the process with pid {os.getpid()}"):
        Journal(path)
    assert holder_of(path.with_name("journal.db.lock")) == os.getpid()
    await journal.close()
    assert holder_of(path.with_name("journal.db.lock")) is None
    await Journal(path).close()


async def test_another_process_is_refused_naming_the_first(path: Path) -> None:
    """The lock holds between processes too."""
    journal = Journal(path)
    code = (
        "import asyncio, sys, pathlib\n"
        "from orchestrator.journal import Journal\n"
        "async def main():\n"
        "    try:\n        Journal(pathlib.Path(sys.argv[1]))\n"
        "    except Exception as error:\n        print(error)\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert f"pid {os.getpid()}" in done.stdout
    await journal.close()


async def test_a_newer_file_is_refused_and_left_alone(path: Path) -> None:
    """A file of a later version is not touched."""
    await Journal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = digest(path)
    with pytest.raises(JournalError, match="newer version"):
        Journal(path)
    assert digest(path) == before


async def test_another_programs_file_is_refused_and_left_alone(path: Path) -> None:
    """A database that is not ours is not touched."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = digest(path)
    with pytest.raises(JournalError, match="database of another program"):
        Journal(path)
    assert digest(path) == before


@pytest.mark.parametrize("position", [0, 4_096])
async def test_a_damaged_file_is_refused_and_left_alone(path: Path, position: int) -> None:
    """Damage in the header or in a page is found at opening, and nothing is changed."""
    await Journal(path).close()
    damaged = bytearray(path.read_bytes())
    damaged[position : position + 600] = b"\xa5" * 600
    path.write_bytes(damaged)
    before = digest(path)
    with pytest.raises(JournalError, match="damaged"):
        Journal(path)
    assert digest(path) == before


async def test_a_refused_file_is_not_kept_locked(path: Path) -> None:
    """After a refusal the file can be mended and opened by the same process."""
    path.write_bytes(b"no database at all, " * 100)
    with pytest.raises(JournalError, match="damaged or no SQLite file"):
        Journal(path)
    path.unlink()
    await Journal(path).close()


async def test_the_file_is_marked_as_ours(path: Path) -> None:
    """application_id and user_version tell what the file is."""
    await Journal(path).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The message says which folder cannot be written."""
    with pytest.raises(JournalError, match=r"cannot write in .*nowhere"):
        Journal(tmp_path / "nowhere" / "journal.db")


async def test_a_full_disk_is_waited_out(path: Path) -> None:
    """While the disk is full new work is refused; what was staged is written once there is room."""
    journal = Journal(path)
    limit = journal._writer._connection
    pages = limit.execute("PRAGMA page_count").fetchone()[0]
    limit.execute(f"PRAGMA max_page_count = {pages}")
    group = journal.stage(ADD, (1, "x" * 20_000, ""))
    journal.flush()
    while not journal._writer.full:  # noqa: ASYNC110  # the journal tells nobody but those who ask
        await asyncio.sleep(0)
    with pytest.raises(JournalFullError, match="free some space"):
        journal.check_writable()
    limit.execute("PRAGMA max_page_count = 1000000")
    await journal.durable(group)
    journal.check_writable()
    assert len(journal.read(NAMES)) == 1
    await journal.close()


@pytest.mark.parametrize("point", ["before-write", "after-write"])
async def test_a_failed_write_ends_the_journal_and_leaves_no_half_group(path: Path, point: str) -> None:
    """After any other failure nobody knows what is on the disk, so nothing more is written."""

    def fault(reached: str) -> None:
        if reached == point:
            raise OSError("the disk went away")

    journal = Journal(path, fault)
    group = journal.stage(ADD, (1, "a", ""))
    journal.flush()
    with pytest.raises(JournalError, match="the disk went away"):
        await journal.durable(group)
    with pytest.raises(JournalError, match="Restart"):
        journal.check_writable()
    await journal.close()
    reopened = Journal(path)
    assert reopened.read(NAMES) == []
    await reopened.close()


async def test_the_log_is_moved_into_the_file_under_steady_load(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write-ahead log does not grow without bound."""
    monkeypatch.setattr("orchestrator.journal.schema.CHECKPOINT_PAGES", 16)
    journal = Journal(path)
    for number in range(1, 200):
        group = journal.stage(ADD, (number, f"{number}" + "x" * 8_000, ""))
        journal.flush()
        await journal.durable(group)
    assert path.with_name("journal.db-wal").stat().st_size < 256 * 1024
    await journal.close()


async def test_an_older_file_is_copied_before_it_is_migrated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration leaves a copy of the file as it was, and moves the version forward with the change."""
    journal = Journal(path)
    group = journal.stage(ADD, (1, "old", ""))
    journal.flush()
    await journal.durable(group)
    await journal.close()
    monkeypatch.setattr("orchestrator.journal.schema.MIGRATIONS", (*MIGRATIONS, "CREATE TABLE later (x);"))
    migrated = Journal(path)
    assert migrated.read("SELECT count(*) FROM later") == [(0,)]
    assert migrated.read(NAMES) == [("old",)]
    await migrated.close()
    with sqlite3.connect(path.with_name(f"journal.db.v{len(MIGRATIONS)}.backup")) as copy:
        assert copy.execute(NAMES).fetchall() == [("old",)]
        assert copy.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    copy.close()

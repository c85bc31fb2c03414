"""Files beside the journal: there before the row that names them, gone after it, and checked when read."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator.core.private_files import write_private_file
from orchestrator.journal import Journal, JournalError, Statement, UnreadableError
from orchestrator.journal.errors import JournalFullError
from orchestrator.journal.stream_blobs import POINTER, StreamBlobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ADD_ENTRY = Statement(2, "INSERT INTO entries (stream, offset, at, type, key, data) VALUES {rows}", 6)
DATA = os.urandom(300_000)


class PowerCutError(Exception):
    """The test's own end of the process."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "journal.db"


def stage(journal: Journal, number: int, offset: int, data: bytes = DATA) -> bytes:
    """Stage an entry whose data is in a file; gives the pointer in its row."""
    blob, pointer = journal.blobs.blob(number, offset, data)
    journal.stage_blob(blob)
    journal.stage(ADD_ENTRY, (number, offset, 0.0, "", "", pointer))
    return pointer


async def keep(journal: Journal, number: int, offset: int) -> bytes:
    """Have such an entry on the disk."""
    pointer = stage(journal, number, offset)
    journal.flush()
    await journal.written()
    return pointer


def files(path: Path) -> list[str]:
    """The files beside the journal, by folder and offset."""
    folder = StreamBlobs(path).folder
    return sorted(f"{file.parent.name}/{file.name.partition('.')[0]}" for file in folder.glob("*/*"))


def cut_at(point: str) -> Callable[[str], None]:
    """Cut the power at that point of the next write."""

    def fault(reached: str) -> None:
        if reached == point:
            raise PowerCutError

    return fault


async def swept(journal: Journal) -> None:
    """Until the sweep that an opening begins has been everywhere: each step lets others read between."""
    for _ in range(10):
        await journal.in_thread(lambda: None)


async def test_what_is_too_large_for_a_row_is_read_back_from_its_file(path: Path) -> None:
    """The row names it; only this user may read it."""
    journal = Journal(path)
    pointer = await keep(journal, 3, 1)
    assert journal.blobs.load(3, pointer) == DATA
    assert journal.read("SELECT data FROM entries") == [(pointer,)]
    assert pointer.startswith(POINTER)
    assert len(pointer) < 100
    [file] = journal.blobs.folder.glob("*/*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (file.parent, file.parent.parent)} == {0o700}
    await journal.close()


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
async def test_a_damaged_file_is_never_taken_for_what_was_written(path: Path, damage: str) -> None:
    """It is refused, and named."""
    journal = Journal(path)
    pointer = await keep(journal, 3, 1)
    [file] = journal.blobs.folder.glob("*/*")
    match damage:
        case "changed":
            file.write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
        case "cut":
            file.write_bytes(DATA[:-1])
        case "gone":
            file.unlink()
    with pytest.raises(UnreadableError, match=str(file)):
        journal.blobs.load(3, pointer)
    await journal.close()


@pytest.mark.parametrize(
    "point", ["before-blobs", "after-blobs", "before-write", "after-write", "after-commit"]
)
async def test_a_row_never_names_a_file_that_is_not_there(path: Path, point: str) -> None:
    """Wherever the power is cut: either both are there or the row is not, and the next opening cleans up."""
    journal = Journal(path, cut_at(point))
    pointer = stage(journal, 3, 1)
    journal.flush()
    with pytest.raises(JournalError):
        await journal.written()
    journal.abandon()
    journal = Journal(path)
    rows = journal.read("SELECT data FROM entries")
    assert rows == ([(pointer,)] if point == "after-commit" else [])
    await swept(journal)
    assert files(path) == ["3/1" for _ in rows]
    for (found,) in rows:
        assert journal.blobs.load(3, found) == DATA
    await journal.close()


async def test_files_go_after_their_rows_are_gone(path: Path) -> None:
    """All of a stream, those up to an offset, or some; the others stay."""
    journal = Journal(path)
    for number, offset in ((3, 1), (3, 5), (3, 7), (4, 1), (6, 1), (6, 2), (6, 3)):
        await keep(journal, number, offset)
    delete = Statement(8, "DELETE FROM entries WHERE (stream, offset) IN (VALUES {rows})", 2)
    for offset in (1, 5):
        journal.stage(delete, (3, offset))
    for offset in (1, 3):
        journal.stage(delete, (6, offset))
    journal.stage_removal(journal.blobs.removal(3, up_to=5))
    journal.stage_removal(journal.blobs.removal(6, offsets=[1, 3]))
    journal.flush()
    await journal.written()
    await keep(journal, 5, 1)  # the writer removes before it takes the next group
    assert files(path) == ["3/7", "4/1", "5/1", "6/2"]
    journal.stage(delete, (4, 1))
    journal.stage_removal(journal.blobs.removal(4))
    journal.flush()
    await journal.written()
    await keep(journal, 5, 2)
    assert files(path) == ["3/7", "5/1", "5/2", "6/2"]
    await journal.close()


async def test_files_outlive_a_crash_between_the_end_of_their_rows_and_their_own(path: Path) -> None:
    """No longer than to the next opening."""
    journal = Journal(path)
    await keep(journal, 3, 1)
    await journal.close()
    journal = Journal(path, cut_at("after-commit"))
    await swept(journal)
    journal.stage(Statement(8, "DELETE FROM entries WHERE stream IN ({rows})", 1), (3,))
    journal.stage_removal(journal.blobs.removal(3))
    journal.flush()
    with pytest.raises(JournalError):
        await journal.written()
    journal.abandon()
    assert files(path) == ["3/1"]
    journal = Journal(path)
    await swept(journal)
    assert files(path) == []
    await journal.close()


async def test_the_sweep_leaves_alone_what_it_did_not_write(path: Path) -> None:
    """Somebody's own file in that folder is not ours to remove."""
    journal = Journal(path)
    await keep(journal, 3, 1)
    await journal.close()
    folder = StreamBlobs(path).folder
    foreign = [folder / "README", folder / "3" / "notes.txt", folder / "backup" / "1.abcd"]
    foreign[2].parent.mkdir()
    for file in foreign:
        file.write_text("mine")
    journal = Journal(path)
    await swept(journal)
    assert all(file.exists() for file in foreign)
    assert files(path) == ["3/1", "3/notes", "backup/1"]
    await journal.close()


async def test_the_sweep_of_many_folders_leaves_room_to_read_and_stops_at_closing(path: Path) -> None:
    """It goes in steps."""
    journal = Journal(path)
    for number in range(1, 251):
        stage(journal, number, 1, b"x")
    journal.flush()
    await journal.written()
    await journal.close()
    journal = Journal(path)
    steps = journal.blobs.sweep(journal._reader)
    assert len(list(steps)) == 2
    await journal.close()
    assert len(files(path)) == 250


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_waited_out(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Nothing is lost, and nothing of what failed is left to take room."""
    monkeypatch.setattr("orchestrator.journal.writer.FULL_RETRY_S", 0.01)
    is_full = True
    left: list[list[str]] = []

    def write(file: Path, data: bytes) -> None:
        file.write_bytes(data[:100] if is_full else data)
        if is_full:
            raise OSError(code, "no room")

    monkeypatch.setattr("orchestrator.journal.stream_blobs.write_private_file", write)
    journal = Journal(path)
    pointer = stage(journal, 3, 1)
    journal.flush()
    await journal._writer.filled.wait()
    with pytest.raises(JournalFullError, match="is full; free some space"):
        journal.check_writable()
    left.append(journal.read("SELECT * FROM entries"))
    is_full = False
    await journal.written()
    assert left == [[]]
    assert journal.blobs.load(3, pointer) == DATA
    await journal.close()


async def test_any_other_failure_of_a_file_ends_the_writer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync is never retried: nobody knows what is on the disk."""

    def write(file: Path, data: bytes) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr("orchestrator.journal.stream_blobs.write_private_file", write)
    journal = Journal(path)
    stage(journal, 3, 1)
    journal.flush()
    with pytest.raises(JournalError, match="broken disk"):
        await journal.written()
    await journal.close()


async def test_a_folder_that_the_sweep_removes_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may find a folder empty just before a file comes."""
    real = write_private_file
    removed: list[Path] = []

    def write(file: Path, data: bytes) -> None:
        if not removed:
            file.parent.rmdir()
            removed.append(file.parent)
        real(file, data)

    monkeypatch.setattr("orchestrator.journal.stream_blobs.write_private_file", write)
    journal = Journal(path)
    pointer = await keep(journal, 3, 1)
    assert removed
    assert journal.blobs.load(3, pointer) == DATA
    await journal.close()


async def test_the_loop_goes_on_while_a_file_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk holds up the writer's thread alone."""
    real, slow = write_private_file, threading.Event()

    def write(file: Path, data: bytes) -> None:
        assert slow.wait(10)
        real(file, data)

    monkeypatch.setattr("orchestrator.journal.stream_blobs.write_private_file", write)
    journal = Journal(path)
    writing = asyncio.ensure_future(keep(journal, 3, 1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not writing.done()
    slow.set()
    await writing
    await journal.close()

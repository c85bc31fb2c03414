"""Values too large for a row: one file each beside the journal, durable before the row that names it.

The row then holds a pointer: ``0x01``, the value's size in 8 bytes, its SHA-256, and the file's name. That is
the entry's offset and a token of this opening, so that no file is ever written where an older one may be.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.core.private_files import PRIVATE_DIRECTORY, sync_directory, write_private_file
from orchestrator.journal.errors import UnreadableError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

POINTER: Final = b"\x01"
# A row up to this size is quick to read and write where it is.
MOST_IN_ROW_BYTES: Final = 256 * 1024
SESSION_BYTES: Final = 4
# Folders that the sweep looks through at once.
SWEPT_FOLDERS: Final = 100

LONGEST_POINTER_BYTES: Final = 200

_SIZE_END: Final = 1 + 8
_HASH_END: Final = _SIZE_END + 32
_FILE: Final = re.compile(r"(?P<offset>[0-9]+)\.(?P<session>[0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class StreamBlob:
    """A file to be written."""

    path: Path
    data: bytes


@dataclass(frozen=True, slots=True)
class Removal:
    """Files of a stream to be removed: up to an offset, or of some offsets, or all with their folder."""

    folder: Path
    up_to: int | None = None
    offsets: frozenset[int] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the stream keeps no file."""
        return self.up_to is None and self.offsets is None

    def takes(self, offset: int) -> bool:
        """Whether the file of the entry at that offset goes."""
        return (self.up_to is None or offset <= self.up_to) and (
            self.offsets is None or offset in self.offsets
        )


class StreamBlobs:
    """The files beside one journal: ``<journal>.blobs/<number of the stream>/<offset>.<token>``."""

    def __init__(self, journal: Path) -> None:
        self.folder = journal.with_name(f"{journal.name}.blobs")
        self._session = secrets.token_hex(SESSION_BYTES)

    def blob(self, number: int, offset: int, data: bytes) -> tuple[StreamBlob, bytes]:
        """The file that is to hold ``data``, and the pointer that its row holds instead."""
        name = f"{offset}.{self._session}"
        pointer = POINTER + len(data).to_bytes(8) + hashlib.sha256(data).digest() + name.encode()
        return StreamBlob(self.folder / str(number) / name, data), pointer

    def load(self, number: int, pointer: bytes) -> bytes:
        """What a pointer leads to.

        Raises:
            UnreadableError: the file is missing, or not as it was written.
        """
        path = self.folder / str(number) / _name_in(pointer)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UnreadableError(f"the file {path} with a recorded value cannot be read: {error}") from error
        size, checksum = int.from_bytes(pointer[1:_SIZE_END]), pointer[_SIZE_END:_HASH_END]
        if len(data) != size or hashlib.sha256(data).digest() != checksum:
            raise UnreadableError(f"the file {path} with a recorded value is not as it was written")
        return data

    def removal(
        self, number: int, *, up_to: int | None = None, offsets: Iterable[int] | None = None
    ) -> Removal:
        """What to remove with a stream's entries up to an offset, or of some offsets, or with all of them."""
        return Removal(self.folder / str(number), up_to, None if offsets is None else frozenset(offsets))

    def sweep(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Remove what a crash left behind, some folders at each step, but nothing of this opening."""
        if not self.folder.is_dir():
            return
        for count, folder in enumerate(self.folder.iterdir(), 1):
            if folder.name.isdecimal():
                with suppress(OSError):  # most are not empty then, and stay
                    self._sweep_folder(folder, connection)
            if count % SWEPT_FOLDERS == 0:
                yield

    def _sweep_folder(self, folder: Path, connection: sqlite3.Connection) -> None:
        for path in folder.iterdir():
            found = _FILE.fullmatch(path.name)
            if found is None or found["session"] == self._session:
                continue
            row = connection.execute(
                "SELECT substr(data, 1, ?) FROM entries WHERE stream = ? AND offset = ?",
                (LONGEST_POINTER_BYTES, int(folder.name), int(found["offset"])),
            ).fetchone()
            if row is None or row[0][:1] != POINTER or _name_in(row[0]) != path.name:
                path.unlink(missing_ok=True)
        folder.rmdir()


def write_blobs(blobs: Iterable[StreamBlob]) -> None:
    """Have these files on the disk when this returns.

    Raises:
        OSError: they could not all be written; then none is left.
    """
    written: list[StreamBlob] = []
    changed: set[Path] = set()
    try:
        for blob in blobs:
            written.append(blob)
            changed |= _written(blob) | {blob.path.parent}
        for folder in changed:
            sync_directory(folder)
    except OSError:
        for blob in written:
            with suppress(OSError):
                blob.path.unlink(missing_ok=True)
        raise


def remove_blobs(removals: Iterable[Removal]) -> None:
    """Remove files whose rows are gone; what cannot be removed is left to the next opening's sweep."""
    for removal in removals:
        if removal.is_whole:
            shutil.rmtree(removal.folder, ignore_errors=True)
            continue
        with suppress(OSError):
            for path in removal.folder.iterdir():
                found = _FILE.fullmatch(path.name)
                if found and removal.takes(int(found["offset"])):
                    path.unlink(missing_ok=True)


def _written(blob: StreamBlob) -> set[Path]:
    """Write a file; gives the folders that got a new folder."""
    changed = _made(blob.path.parent)
    try:
        write_private_file(blob.path, blob.data)
    except FileNotFoundError:  # the sweep found its folder empty meanwhile; it comes by once
        changed |= _made(blob.path.parent)
        write_private_file(blob.path, blob.data)
    return changed


def _made(folder: Path) -> set[Path]:
    """Make a folder; gives the ones that this changed."""
    if folder.is_dir():
        return set()
    changed = _made(folder.parent)
    folder.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
    return changed | {folder.parent}


def _name_in(pointer: bytes) -> str:
    return pointer[_HASH_END:].decode("ascii", "replace").replace("/", "?")

"""Files and directories that only this user may read, whatever the umask and the directory above allow."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def make_private_file(path: Path) -> None:
    """Make an empty file at ``path`` unless something is there already.

    For SQLite, which would make it readable by all; what it puts beside a file gets that file's rights. Call
    it before the file is opened: closing another descriptor of it would drop SQLite's locks.
    """
    with suppress(OSError):  # whoever opens it next tells why it could not be made
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))


def write_private_file(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, in place of what was there; it is on disk when this returns.

    Its name is once the directory is synced too, which whoever writes many files does once.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        _sync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make durable what was made, renamed or removed in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    """What reaches the disk itself; macOS leaves it in the drive's cache unless asked so."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)

"""One process per journal, kept by the operating system."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

from orchestrator.journal.errors import JournalError, JournalInUseError

if TYPE_CHECKING:
    from pathlib import Path


# Someone who looks who has the lock shares it for an instant; a holder keeps it.
LOOKS = 3
BETWEEN_LOOKS_S = 0.01


class FileLock:
    """An exclusive lock on a file of its own beside the journal, which names the holder's pid.

    The lock is ``flock`` on a separate file: closing any descriptor of the database file itself would drop
    SQLite's own locks. The system frees it when the process ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            JournalInUseError: a process has it; its pid is named.
            JournalError: the folder cannot be written.
        """
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"cannot write in {path.parent}: {error.strerror}") from error
        try:
            self._lock()
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise JournalInUseError(
                f"{path.with_suffix('')} is in use by the process with pid {holder}; "
                "stop that one first, or give this one another data directory"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def _lock(self) -> None:
        for _ in range(LOOKS):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(BETWEEN_LOOKS_S)
            else:
                return
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Let it go. The file stays, or two processes could lock two files of one name."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def holder_of(path: Path) -> int | None:
    """The pid of the process that has the lock at ``path``, or None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)

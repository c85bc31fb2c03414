"""The data directory: what lies where in it, and which process has it.

That process holds a lock, which the kernel drops with it however it ends, so an address file without a held
lock is stale. Beside the address stands the secret that cancels runs; only the owner may read the file.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.core.errors import ConflictError, SettingsError
from orchestrator.core.private_files import PRIVATE_DIRECTORY, PRIVATE_FILE
from orchestrator.journal.errors import JournalInUseError
from orchestrator.journal.lock import FileLock, holder_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOURNAL_FILE = "journal.db"  # runs and event streams
STREAMS_FILE = "streams.db"  # event streams of runs that are kept elsewhere
TABLES_FILE = "tables.db"  # the rooms' own tables
BLOBS_DIRECTORY = "blobs"  # pictures and other large values
LOCK_FILE = "service.lock"
SERVICE_FILE = "service.json"
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Service:
    """The process that has a data directory. ``address`` is empty until it answers HTTP."""

    pid: int
    address: str = ""
    token: str = ""


class Claim:
    """This process's hold on a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / SERVICE_FILE
        self._service = Service(os.getpid(), token=secrets.token_urlsafe(TOKEN_BYTES))

    @property
    def token(self) -> str:
        """The secret that other processes of this user read from the file."""
        return self._service.token

    def announce(self, address: str) -> None:
        """Tell other processes of this user where the service answers."""
        beside = self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(replace(self._service, address=address)), file)
        beside.replace(self._path)


@contextmanager
def claimed(data_dir: Path) -> Iterator[Claim]:
    """Have the data directory for this process while inside; it is made if it is not there.

    Raises:
        ConflictError: another process has it; the message names its pid.
        SettingsError: it cannot be made or written.
    """
    _make(data_dir)
    try:
        lock = FileLock(data_dir / LOCK_FILE)
    except JournalInUseError:
        raise _in_use(data_dir) from None
    try:
        yield Claim(data_dir)
    finally:
        (data_dir / SERVICE_FILE).unlink(missing_ok=True)
        lock.release()


def serving(data_dir: Path) -> Service | None:
    """The process that has the data directory now, or None."""
    holder = holder_of(data_dir / LOCK_FILE)
    if holder is None:
        return None
    try:
        service = Service(**json.loads((data_dir / SERVICE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Service(holder)
    return service if service.pid == holder else Service(holder)


def _make(data_dir: Path) -> None:
    if data_dir.exists() and not data_dir.is_dir():
        raise SettingsError(f"{data_dir} is a file, not a directory. Give another with --data-dir.")
    try:
        data_dir.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The data directory {data_dir} cannot be made: {error.strerror}. Give another with --data-dir."
        ) from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise SettingsError(
            f"The data directory {data_dir} cannot be written by this user. Give another with --data-dir."
        )


def _in_use(data_dir: Path) -> ConflictError:
    service = serving(data_dir)
    who = f"the process with pid {service.pid}" if service else "another process"
    where = f", which serves {service.address}" if service and service.address else ""
    return ConflictError(
        f"The data directory {data_dir} is in use by {who}{where}. "
        "Stop that process, or give another directory with --data-dir."
    )

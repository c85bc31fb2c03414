"""The tables' SQLite file: whose it is and whether it is sound, found without changing a byte."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import SettingsError
from orchestrator.db.migrating import APPLICATION_ID, refuse_newer

if TYPE_CHECKING:
    from pathlib import Path

# A whole check of a file up to this size takes well under a second, so it is made at every opening.
CHECKED_AT_OPENING_BYTES: Final = 32 * 1024 * 1024


def revision_of(path: Path) -> str | None:
    """The revision of the tables in a sound file of ours; None if nothing was kept at ``path`` yet.

    Raises:
        SettingsError: another program's file, a newer version's, a damaged or an unwritable one. The message
            names it and says what to do.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    if not os.access(path, os.W_OK):  # SQLite would open it all the same, and fail at the first write
        raise SettingsError(f"{path} cannot be written. Check its owner, its rights, and the mount.")
    try:
        with closing(_reader(path)) as connection:
            return _inspect(connection, path)
    except sqlite3.DatabaseError as error:
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"{path} is damaged or no SQLite file: {reason}. Nothing was changed. "
            "Put back a copy, or move the file away to begin with empty tables."
        ) from error


def _reader(path: Path) -> sqlite3.Connection:
    # Without a log beside it nobody writes, and an immutable file gets no new files beside it.
    logged = path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{'' if logged else '&immutable=1'}", uri=True)


def _inspect(connection: sqlite3.Connection, path: Path) -> str | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise SettingsError(
            f"{path} is a database of another program. Nothing was changed. "
            "Move it away, or name another data directory."
        )
    if path.stat().st_size <= CHECKED_AT_OPENING_BYTES:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None:
        return None
    refuse_newer(row[0], str(path))
    return str(row[0])

"""The tables' SQLite file: whose it is and whether it is sound, found without changing a byte."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic.script import ScriptDirectory

from orchestrator.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

# "ORCT": how any SQLite tool, and we, know the file for ours; the journal's is another.
APPLICATION_ID: Final = 0x4F524354
MIGRATIONS: Final = Path(__file__).parent / "migrations"
# A whole check of a file up to this size takes well under a second, so it is made at every opening.
CHECKED_AT_OPENING_BYTES: Final = 32 * 1024 * 1024


def is_new(path: Path) -> bool:
    """Whether nothing was kept at ``path`` yet; False for a sound file of ours that this version can use.

    Raises:
        SettingsError: another program's file, a newer version's, a damaged or an unwritable one. The message
            names it and says what to do.
    """
    if not path.exists() or not path.stat().st_size:
        return True
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


def _inspect(connection: sqlite3.Connection, path: Path) -> bool:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return True
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise SettingsError(
            f"{path} is a database of another program. Nothing was changed. "
            "Move it away, or name another data directory."
        )
    if path.stat().st_size <= CHECKED_AT_OPENING_BYTES:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
    unknown = {revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")}
    unknown.difference_update(_known_revisions())
    if unknown:
        raise SettingsError(
            f"{path} was written by a newer version of Orchestrator (its tables are at {min(unknown)}). "
            "Nothing was changed. Start that version, or name another data directory."
        )
    return False


def _known_revisions() -> Iterator[str]:
    return (script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())

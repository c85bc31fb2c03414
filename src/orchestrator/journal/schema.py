"""The journal's tables, and how an older file becomes a current one.

Migrations only go forward, each in one transaction with the number it leads to, after a copy of the file was
made. ``streams`` and ``entries`` are the ordered events; a run is a stream, so ``runs`` shares its numbers.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from orchestrator.core.private_files import make_private_file
from orchestrator.journal.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

# "ORCH": how any SQLite tool, and we, know the file for ours.
APPLICATION_ID = 0x4F524348

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE streams (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL
    );
    CREATE TABLE entries (
        stream INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        at REAL NOT NULL,
        type TEXT NOT NULL,
        key TEXT NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (stream, offset)
    ) WITHOUT ROWID;
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY REFERENCES streams(number),
        workflow TEXT NOT NULL,
        owner TEXT NOT NULL,
        tags TEXT NOT NULL,
        digest BLOB NOT NULL,
        seed BLOB NOT NULL,
        created_at REAL NOT NULL,
        status TEXT NOT NULL,
        closed_at REAL,
        reason TEXT NOT NULL
    );
    CREATE INDEX open_runs ON runs(number) WHERE closed_at IS NULL;
    """,
    # wake_at: until when an open run is out of memory, 9e999 until a signal comes; NULL for one that must be
    # loaded at the opening. parent: the number of the run it is a child of. slots: of the engine. deltas: 1
    # where the history may hold progress. told: 1 where the parent has recorded a child's outcome.
    # trimmed: the last offset that was removed from a stream's beginning. position: the last one that a group
    # has handed out; deliveries: what of that is not acknowledged.
    """
    ALTER TABLE streams ADD COLUMN trimmed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN wake_at REAL;
    ALTER TABLE runs ADD COLUMN parent INTEGER;
    ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 3;
    ALTER TABLE runs ADD COLUMN slots BLOB NOT NULL DEFAULT x'';
    ALTER TABLE runs ADD COLUMN deltas INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
    DROP INDEX open_runs;
    CREATE INDEX awake_runs ON runs(number) WHERE closed_at IS NULL AND wake_at IS NULL;
    CREATE INDEX parked_runs ON runs(wake_at) WHERE closed_at IS NULL AND wake_at IS NOT NULL;
    CREATE INDEX slot_runs ON runs(number) WHERE closed_at IS NULL AND slots <> x'';
    CREATE INDEX closed_runs ON runs(closed_at) WHERE closed_at IS NOT NULL;
    CREATE INDEX closed_runs_with_deltas ON runs(closed_at) WHERE closed_at IS NOT NULL AND deltas = 1;
    CREATE INDEX open_children ON runs(parent) WHERE parent IS NOT NULL AND closed_at IS NULL;
    CREATE INDEX closed_children ON runs(parent) WHERE parent IS NOT NULL AND closed_at IS NOT NULL;
    CREATE TABLE schedules (
        name TEXT PRIMARY KEY,
        workflow TEXT NOT NULL,
        owner TEXT NOT NULL,
        tags TEXT NOT NULL,
        priority INTEGER NOT NULL,
        digest BLOB NOT NULL,
        input BLOB NOT NULL,
        cron TEXT NOT NULL,
        zone TEXT NOT NULL,
        catch_up_s REAL NOT NULL,
        created_at REAL NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        next_at REAL,
        last_run TEXT NOT NULL,
        last_at REAL,
        skipped INTEGER NOT NULL,
        missed_at REAL
    ) WITHOUT ROWID;
    CREATE TABLE consumer_groups (
        number INTEGER PRIMARY KEY,
        stream INTEGER NOT NULL,
        name TEXT NOT NULL,
        position INTEGER NOT NULL,
        UNIQUE (stream, name)
    );
    CREATE TABLE deliveries (
        consumer_group INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        consumer TEXT NOT NULL,
        at REAL NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (consumer_group, offset)
    ) WITHOUT ROWID;
    """,
    # entry_keys: the last entry of each key, of all streams but those of runs. expire_after_s: how long a
    # stream is kept after its last append, and expires_at: until when that is.
    """
    CREATE TABLE entry_keys (
        stream INTEGER NOT NULL,
        key TEXT NOT NULL,
        offset INTEGER NOT NULL,
        PRIMARY KEY (stream, key)
    ) WITHOUT ROWID;
    INSERT OR REPLACE INTO entry_keys SELECT stream, key, offset FROM entries
        WHERE key <> '' AND stream NOT IN (SELECT number FROM runs) ORDER BY stream, offset;
    ALTER TABLE streams ADD COLUMN expire_after_s REAL;
    ALTER TABLE streams ADD COLUMN expires_at REAL;
    CREATE INDEX expiring_streams ON streams(number) WHERE expires_at IS NOT NULL;
    """,
)

# The writer moves its log into the file after the commit that passes this size, and so between two groups; a
# log that a long read let grow is cut to the ceiling afterwards.
CHECKPOINT_PAGES = 2_000
WAL_CEILING_BYTES = 64 * 1024 * 1024

# A whole check of a file up to this size takes well under a second, so it is made at every opening.
CHECKED_AT_OPENING_BYTES = 32 * 1024 * 1024


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file is ours and sound, and bring it to the current version.

    Raises:
        JournalError: another program's file, a newer version's, or a damaged one; the message says which.
    """
    try:
        version = _inspect(path) if path.stat().st_size else 0
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_CEILING_BYTES}")
        _migrate(connection, path, version)
    except sqlite3.DatabaseError as error:
        raise refused(path, error) from error


def check_readable(connection: sqlite3.Connection, path: Path) -> None:
    """Find out whether the file's tables are those that this version reads.

    Raises:
        JournalError: another program's file, another version's, or a damaged one; the message says which.
    """
    try:
        version = _version(connection, path)
    except sqlite3.DatabaseError as error:
        raise refused(path, error) from error
    if version < len(MIGRATIONS):
        raise JournalError(
            f"{path} was written by an older version of Orchestrator (file version {version}, this one reads "
            f"{len(MIGRATIONS)}). Start this version's service on it once, which brings it up to date."
        )


def refused(path: Path, error: sqlite3.Error) -> JournalError:
    """What to tell people about an error of SQLite at opening."""
    name = error.sqlite_errorname if hasattr(error, "sqlite_errorname") else ""
    if name.startswith("SQLITE_READONLY") or name == "SQLITE_CANTOPEN":
        return JournalError(
            f"{path} cannot be written: {error}. Check the owner and the rights of the folder."
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return JournalError(
            f"{path} is damaged or no SQLite file: {error}. Nothing was changed. Put back a copy "
            f"(migrations leave {path.name}.v*.backup), or move the file away to begin with an empty journal."
        )
    return JournalError(f"{path} cannot be opened: {error}")


def _inspect(path: Path) -> int:
    """The version of a sound file of ours, found without changing a byte, or leaving a file beside it."""
    if not os.access(path, os.W_OK):  # SQLite would open it all the same, and fail at the first write
        raise JournalError(f"{path} cannot be written. Check its owner, its rights, and the mount.")
    logged = path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.resolve().as_uri()}?mode=ro{'' if logged else '&immutable=1'}"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as reader:
        version = _version(reader, path)
        if path.stat().st_size <= CHECKED_AT_OPENING_BYTES:
            _check(reader, path)
        return version


def _version(connection: sqlite3.Connection, path: Path) -> int:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and tables:
        raise JournalError(f"{path} is a database of another program; name another file for the journal")
    if version > len(MIGRATIONS):
        raise JournalError(
            f"{path} was written by a newer version of Orchestrator (file version {version}, this one knows "
            f"{len(MIGRATIONS)}); install that version again"
        )
    return version


def _check(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise JournalError(
            f"{path} is damaged: {found}. Nothing was changed. Put back a copy, or move the file away."
        )


def _migrate(connection: sqlite3.Connection, path: Path, version: int) -> None:
    if version == len(MIGRATIONS):
        return
    if version:
        backup = path.with_name(f"{path.name}.v{version}.backup")
        make_private_file(backup)
        with sqlite3.connect(backup) as copy:
            connection.backup(copy)
        copy.close()
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {statements} PRAGMA application_id = {APPLICATION_ID}; "
            f"PRAGMA user_version = {number}; COMMIT;"
        )

"""The journal, and the tables in their file or in PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app.data_dir import JOURNAL_FILE, TABLES_FILE
from orchestrator.app.doctor.report import Check
from orchestrator.core.errors import OrchestratorError, SettingsError, UnavailableError
from orchestrator.db import Database, Migration
from orchestrator.db.file import revision_of
from orchestrator.journal.journal import open_for_reading
from orchestrator.journal.lock import holder_of
from orchestrator.journal.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from orchestrator.core.settings import DatabaseSettings

LARGEST_CHECKED_BYTES = 1_000_000_000  # a whole check of more would take minutes


def journal(data_dir: Path) -> Check:
    """Whether it is sound, who has it, and what is in it."""
    path = data_dir / JOURNAL_FILE
    if not path.exists():
        return Check("journal", "ok", "not there yet; the first start makes it")
    holder = holder_of(path.with_name(f"{path.name}.lock"))
    held = f"held by pid {holder}" if holder else "held by nobody"
    try:
        with closing(open_for_reading(path)) as connection:
            wrong = _wrong_owner(connection) or _damage(connection, path)
            if wrong:
                return Check("journal", "broken", f"{path}: {wrong}", _mend_file(path))
            counted = dict(connection.execute("SELECT status, count(*) FROM runs GROUP BY status"))
    except (sqlite3.Error, OrchestratorError) as error:
        return Check("journal", "broken", f"{path}: {error}", _mend_file(path))
    runs = ", ".join(f"{count:,} {status}" for status, count in sorted(counted.items())) or "no runs yet"
    if counted.get("stuck"):
        mend = "`orchestrator runs list --status stuck` names them, `orchestrator runs show ID` says why."
        return Check("journal", "warning", f"sound, {held}; {runs}", mend)
    return Check("journal", "ok", f"sound, {held}; {runs}")


def tables(data_dir: Path, database: DatabaseSettings) -> Check:
    """Whether they can be used, wherever they are."""
    return _tables_file(data_dir / TABLES_FILE) if database.postgres is None else _postgres(database)


def _postgres(settings: DatabaseSettings) -> Check:
    name = "tables"
    try:
        database = Database.of(settings, Path())
        found, notices = asyncio.run(_looked_at(database))
    except UnavailableError as error:
        return Check(name, "broken", error.message, "Start the server, or correct database.url.")
    except SettingsError as error:
        return Check(name, "broken", error.message)
    if not found.changes and notices:
        return Check(name, "warning", f"{database}, at {found.after}. {' '.join(notices)}")
    if not found.changes:
        return Check(name, "ok", f"{database}, at {found.after}")
    at = f"its tables are at {found.before}" if found.before else "it has no tables yet"
    mend = "The next start brings them to this version; so does `orchestrator migrate`."
    return Check(name, "ok", f"{database}: {at}", mend)


async def _looked_at(database: Database) -> tuple[Migration, tuple[str, ...]]:
    """What the tables lack, and what of them works and is not as safe as it could be."""
    found = await database.pending()
    return found, () if found.changes else await database.notices()


def _tables_file(path: Path) -> Check:
    if not path.exists():
        return Check("tables", "ok", "not there yet; the first start makes them")
    try:
        revision_of(path)
        with closing(open_for_reading(path)) as connection:
            wrong = _damage(connection, path)
    except SettingsError as error:
        return Check("tables", "broken", error.message, _mend_file(path))
    except (sqlite3.Error, OrchestratorError) as error:
        wrong = str(error)
    if wrong:
        return Check("tables", "broken", f"{path}: {wrong}", _mend_file(path))
    return Check("tables", "ok", "sound")


def _wrong_owner(connection: sqlite3.Connection) -> str:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        return "it is a file of another program"
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        return f"a newer version of this program wrote it (file version {version})"
    return ""


def _damage(connection: sqlite3.Connection, path: Path) -> str:
    if path.stat().st_size > LARGEST_CHECKED_BYTES:
        return ""
    found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return "" if found == "ok" else f"damaged: {found}"


def _mend_file(path: Path) -> str:
    return f"Put back a copy of it, or move it away to begin anew: mv {path} {path}.broken"

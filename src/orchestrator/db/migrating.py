"""Bringing tables from one version to the next: the one history that every database goes through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from orchestrator.core.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Connection

# "ORCT": how any tool, and we, know tables for ours; also the number of the lock of those who migrate.
APPLICATION_ID: Final = 0x4F524354
MIGRATIONS: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    """From which revision to which; ``before`` is None where there were no tables yet."""

    before: str | None
    after: str

    @property
    def changes(self) -> bool:
        """Whether there is anything to do, or was."""
        return self.before != self.after


def upgrade(connection: Connection) -> Migration:
    """Bring the tables to this version, within the connection's transaction."""
    before = MigrationContext.configure(connection).get_current_revision()
    command.upgrade(migrations(connection), "head")
    return Migration(before, newest())


def migrations(connection: Connection) -> Config:
    """Alembic's configuration for ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def newest() -> str:
    """The revision of this version."""
    return _scripts().get_current_head() or ""


def refuse_newer(revision: str, place: str) -> None:
    """Let only revisions pass that this version knows.

    Raises:
        SettingsError: tables at ``revision`` were written by a newer version.
    """
    if revision not in {script.revision for script in _scripts().walk_revisions()}:
        raise SettingsError(
            f"{place} was written by a newer version of Orchestrator (its tables are at {revision}). "
            "Nothing was changed. Start that version, or name another place for the tables."
        )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))

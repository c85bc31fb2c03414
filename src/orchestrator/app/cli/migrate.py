"""`orchestrator migrate`: bring the tables to this version, before the service is started."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from contextlib import ExitStack

    from orchestrator.core.settings import Settings
    from orchestrator.db import Database, Migration

EXAMPLES = examples(
    ("orchestrator migrate", "bring the tables to this version; once more does no harm"),
    ("orchestrator migrate --check", "would it change anything? Exit code 6 says yes"),
    ("ORCHESTRATOR_DATABASE_URL=postgres://… orchestrator migrate --json", "in a deployment"),
)
LOOK_AGAIN_S = 0.1


def migrate(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; say what would be, by exit code 6 too.")
    ] = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Bring the tables to this version: PostgreSQL's, or those of the data directory.

    One process migrates at a time, the others wait for it. The service does the same whenever it starts, so
    this is needed only where tables belong to another user than the service's, or to know before a deploy.
    """
    from orchestrator.app.data_dir import TABLES_FILE
    from orchestrator.db import Database

    settings = settings_from(config, data_dir)
    database = Database.of(settings.database, settings.data_dir / TABLES_FILE)
    screen = Screen()
    found = _looked_at(database) if check else _migrated(database, settings, screen)
    if as_json:
        at = {"tables": str(database), "from": found.before, "to": found.after}
        screen.record(at | ({"pending": found.changes} if check else {"migrated": found.changes}))
    else:
        screen.line(f"{database}: {_said(found, check=check)}")
    if check and found.changes:
        raise typer.Exit(ExitCode.MISFIT)


def _looked_at(database: "Database") -> "Migration":
    import asyncio

    return asyncio.run(database.pending())


def _migrated(database: "Database", settings: "Settings", screen: Screen) -> "Migration":
    import asyncio
    from contextlib import nullcontext

    def waits() -> None:
        screen.note(f"Another process migrates {database}; waiting for it.")

    async def migrated() -> "Migration":
        try:
            return await database.migrate(waits)
        finally:
            await database.close()

    with nullcontext() if settings.database.postgres else _data_dir_of(settings, screen):
        return asyncio.run(migrated())


def _data_dir_of(settings: "Settings", screen: Screen) -> "ExitStack":
    """The data directory, once no other command has it.

    Raises:
        ConflictError: a service has it, which keeps it and has migrated its tables.
    """
    import time
    from contextlib import ExitStack

    from orchestrator.app.data_dir import claimed, serving
    from orchestrator.core.errors import ConflictError

    says_so = True
    claim = ExitStack()
    while True:
        try:
            claim.enter_context(claimed(settings.data_dir))
        except ConflictError:
            holder = serving(settings.data_dir)
            if holder is not None and holder.address:
                raise
            if holder is not None and says_so:
                screen.note(f"The process with pid {holder.pid} has {settings.data_dir}; waiting for it.")
                says_so = False
            time.sleep(LOOK_AGAIN_S)
        else:
            return claim


def _said(found: "Migration", *, check: bool) -> str:
    if not found.changes:
        return f"the tables are at {found.after}, as this version has them"
    if found.before is None:
        return f"tables {'would be' if check else 'were'} made, at {found.after}"
    return f"the tables {'would go' if check else 'went'} from {found.before} to {found.after}"

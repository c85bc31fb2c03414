"""`orchestrator migrate-engine`: have what is open in the journal go on on Temporal."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.app.cli.code import Modules, code_at_hand
from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.journal import journal_at
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, JournalFile, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.app.cli.code import Code
    from orchestrator.core.settings import Settings
    from orchestrator.durable.moving import Move

EXAMPLES = examples(
    ("orchestrator migrate-engine --dry-run", "what would be moved, and what could not"),
    ("orchestrator migrate-engine", "move it; after a crash, once more goes on where it was"),
    ("orchestrator migrate-engine --module my_app.workflows --journal runs.db", "of an engine of your own"),
    ("orchestrator migrate-engine --json | jq -r 'select(.fate == \"left\")'", "for a script"),
)


def migrate_engine(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Move nothing; say what would be.")] = False,
    module: Modules = None,
    journal: JournalFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Move what is open in the journal to the Temporal cluster of the settings, under the same ids.

    Stop the service first. Open runs go on there from what they recorded, with their children, signals and
    deadlines, and schedules start their runs there; in the journal they end as moved. What cannot be moved is
    left as it is, with the reason, and the exit code is 6. Workers may run already, or be started afterwards.
    """
    import asyncio

    from orchestrator.app.cli.migrate_engine_view import summary, table_of_moves

    if journal and not module:
        raise typer.BadParameter(
            "name the code of that engine, such as my_app.workflows.", param_hint="--module"
        )
    settings = settings_from(config, data_dir)
    code = code_at_hand(settings, module or ())
    path = journal_at(settings, journal)
    screen = Screen()
    moves: list[Move] = []

    def tell(move: "Move") -> None:
        moves.append(move)
        if as_json:
            screen.record(_plain(move))

    try:
        asyncio.run(_moved(settings, code, path, tell, is_rehearsal=dry_run))
    finally:
        # Also where it stopped half-way: what was moved until then has moved.
        if moves and not as_json:
            screen.result(table_of_moves(moves))
    if not as_json:
        screen.note(summary(moves), "green" if all(move.fate != "left" for move in moves) else "yellow")
    if any(move.fate == "left" for move in moves):
        raise typer.Exit(ExitCode.MISFIT)


async def _moved(
    settings: "Settings", code: "Code", path: "Path", tell: "Callable[[Move], None]", *, is_rehearsal: bool
) -> None:
    from orchestrator.app.backends import temporal_engine
    from orchestrator.app.encryption import encryption_of
    from orchestrator.durable.embedded import LeavingJournal
    from orchestrator.durable.moving import Mover

    engine = temporal_engine(settings, works=False)
    engine.add(workflows=code.workflows)
    async with engine, LeavingJournal(path, encryption=encryption_of(settings)) as leaving:
        async for move in Mover(leaving, engine.arrivals, is_rehearsal=is_rehearsal).move():
            tell(move)


def _plain(move: "Move") -> dict[str, object]:
    from dataclasses import asdict

    return asdict(move)

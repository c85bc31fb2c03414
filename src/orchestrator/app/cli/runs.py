"""`orchestrator runs`: what journal or cluster say of runs, and ways to change where they stand.

Reading needs no service and disturbs none: a journal file is opened for reading only.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, cast

import typer

from orchestrator.app.cli import runs_control
from orchestrator.app.cli.help import Command, Group
from orchestrator.app.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    JournalFile,
    RunId,
    examples,
    settings_from,
)
from orchestrator.app.cli.reading import Reader, is_moving, missing_journal, reading, run_named
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings
    from orchestrator.durable.runs import RunInfo, Status

STATUSES = ("pending", "running", "waiting", "paused", "stuck", *runs_control.ENDED)
MOST_RUNS = 1_000
NOTHING_MOVES = "No service runs now: what is open goes on when one is started."

group = typer.Typer(
    cls=Group,
    help="See what ran, what happened in it and why it failed; pause, stop or take up a run.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=examples(
        ("orchestrator runs list --status failed", "what went wrong"),
        ("orchestrator runs show ID", "a run's steps, and why it failed"),
        ("orchestrator runs events ID --json", "its whole history, one JSON line per event"),
        ("orchestrator runs pause ID", "begin nothing new in it for now"),
        ("orchestrator runs cancel ID", "stop it"),
        ("orchestrator runs fork ID", "take a failed one up where it failed"),
    ),
)


@group.command(
    "list",
    cls=Command,
    epilog=examples(
        ("orchestrator runs list", "the newest runs"),
        ("orchestrator runs list --status failed --status stuck", "what needs attention"),
        ("orchestrator runs list --journal runs.db", "the runs of an engine of your own"),
        ("orchestrator runs list --json | jq -r .id", "for a script"),
    ),
)
def list_runs(
    *,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help=f"Only runs of this status: {', '.join(STATUSES)}."),
    ] = None,
    workflow: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs of this workflow.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MOST_RUNS, metavar="NUMBER", help="How many at most.")
    ] = 20,
    journal: JournalFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    from orchestrator.app.cli.runs_view import remarks, table_of_runs

    chosen = _statuses(status or ())
    screen = Screen()
    settings = settings_from(config, data_dir)
    if path := missing_journal(settings, journal):
        screen.note(f"No runs yet: there is no journal at {path}, and engine is {settings.engine}.", "dim")
        return
    with reading(settings, journal) as reader:
        found = reader.list(status=chosen, workflow=workflow, limit=limit)
        stands_still = not as_json and _stand_still(settings, journal, reader, found)
    if as_json:
        for info in found:
            screen.record(_plain(info))
    elif found:
        screen.result(table_of_runs(found, screen.out.width))
        for remark in remarks(found):
            screen.note(remark, "yellow")
        if stands_still:
            screen.note(NOTHING_MOVES, "yellow")
    else:
        screen.note("No runs of this kind.", "dim")


@group.command(
    "show", cls=Command, epilog=examples(("orchestrator runs show ID", "its status, steps and failure"))
)
def show(
    run_id: RunId,
    *,
    journal: JournalFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show where a run stands, its steps, and what it failed with."""
    from orchestrator.app.cli.runs_view import description

    screen = Screen()
    settings = settings_from(config, data_dir)
    with reading(settings, journal) as reader:
        info = run_named(reader, run_id)
        steps, children = reader.steps(info.id), reader.children(info.id)
        stands_still = not as_json and _stand_still(settings, journal, reader, [info])
    if as_json:
        parts = {"steps": [_plain(step) for step in steps], "children": [_plain(one) for one in children]}
        screen.record(_plain(info) | parts)
    else:
        screen.result(description(info, steps, children, screen.out.width))
        if stands_still:
            screen.note(NOTHING_MOVES, "yellow")


@group.command(
    "events",
    cls=Command,
    epilog=examples(
        ("orchestrator runs events ID", "its history, one line per event"),
        ("orchestrator runs events ID --after 12 --json", "what came after event 12, for a script"),
    ),
)
def events(
    run_id: RunId,
    *,
    after: Annotated[int, typer.Option(min=0, metavar="OFFSET", help="Only what came after it.")] = 0,
    journal: JournalFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what was recorded of a run, in order."""
    from orchestrator.app.cli.runs_view import line_of_event

    screen = Screen()
    with reading(settings_from(config, data_dir), journal) as reader:
        recorded = reader.events(run_named(reader, run_id).id, after)
    for event in recorded:
        if as_json:
            screen.record(_plain(event))
        else:
            screen.result(line_of_event(event, screen.out.width))


group.command("pause", cls=Command, epilog=runs_control.PAUSE_EXAMPLES)(runs_control.pause)
group.command("resume", cls=Command, epilog=runs_control.RESUME_EXAMPLES)(runs_control.resume)
group.command("cancel", cls=Command, epilog=runs_control.CANCEL_EXAMPLES)(runs_control.cancel)
group.command("fork", cls=Command, epilog=runs_control.FORK_EXAMPLES)(runs_control.fork)


def _statuses(names: Sequence[str]) -> "list[Status]":
    from orchestrator.durable.runs import Status

    unknown = sorted(set(names) - set(STATUSES))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)} is none of {', '.join(STATUSES)}.", param_hint="--status"
        )
    return [Status(name) for name in names]


def _plain(record: object) -> dict[str, object]:
    """A record of the engine as JSON has it."""
    from pydantic_core import to_jsonable_python

    return cast("dict[str, object]", to_jsonable_python(record))


def _stand_still(
    settings: "Settings", journal: JournalFile, reader: Reader, runs: "Sequence[RunInfo]"
) -> bool:
    """Whether open runs stand still, whatever their status says, since no process is at work on them."""
    return any(not info.status.closed for info in runs) and not is_moving(settings, journal, reader)

"""`orchestrator runs`: what the journal says of runs, and a way to stop one.

Reading needs no service and disturbs none: the journal file is opened for reading only.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import quote

import typer

from orchestrator.app.cli.help import Command, Group
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings
    from orchestrator.durable.embedded import JournalReader
    from orchestrator.durable.runs import RunInfo, Status

ENDED = ("completed", "failed", "cancelled", "timed_out", "terminated")
STATUSES = ("pending", "running", "waiting", "paused", "stuck", *ENDED)
MOST_RUNS = 1_000

RunId = Annotated[
    str, typer.Argument(metavar="ID", help="The run's id as `runs list` shows it, or its session's.")
]

group = typer.Typer(
    cls=Group,
    help="See what ran, what happened in it and why it failed; stop what runs.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=examples(
        ("orchestrator runs list --status failed", "what went wrong"),
        ("orchestrator runs show ID", "a run's steps, and why it failed"),
        ("orchestrator runs events ID --json", "its whole history, one JSON line per event"),
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
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first."""
    from orchestrator.app.cli.runs_view import table_of_runs

    chosen = _statuses(status or ())
    screen = Screen()
    journal = _journal_path(config, data_dir)
    if not journal.exists():
        screen.note(f"No runs yet: there is no journal at {journal}.", "dim")
        return
    with _reading(config, data_dir) as reader:
        found = reader.list(status=chosen, workflow=workflow, limit=limit)
    if as_json:
        for info in found:
            screen.record(_plain(info))
    elif found:
        screen.result(table_of_runs(found, screen.out.width))
        _say_if_nothing_moves(screen, journal.parent, found)
    else:
        screen.note("No runs of this kind.", "dim")


@group.command(
    "show", cls=Command, epilog=examples(("orchestrator runs show ID", "its status, steps and failure"))
)
def show(
    run_id: RunId, *, data_dir: DataDir = None, config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Show where a run stands, its steps, and what it failed with."""
    from orchestrator.app.cli.runs_view import description

    screen = Screen()
    journal = _journal_path(config, data_dir)
    with _reading(config, data_dir) as reader:
        info = _found(reader, run_id)
        steps = list(reader.steps(info.id))
    if as_json:
        screen.record(_plain(info) | {"steps": [_plain(step) for step in steps]})
    else:
        screen.result(description(info, steps))
        _say_if_nothing_moves(screen, journal.parent, [info])


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
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what was recorded of a run, in order."""
    from orchestrator.app.cli.runs_view import line_of_event

    screen = Screen()
    with _reading(config, data_dir) as reader:
        recorded = reader.events(_found(reader, run_id).id, after)
    for event in recorded:
        if as_json:
            screen.record(_plain(event))
        else:
            screen.result(line_of_event(event, screen.out.width))


@group.command(
    "cancel", cls=Command, epilog=examples(("orchestrator runs cancel ID", "stop it; its steps are told"))
)
def cancel(
    run_id: RunId, *, data_dir: DataDir = None, config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Stop a run.

    Its code is told and may clean up; the step that is running is stopped too. Where no service runs, one is
    started for this moment.
    """
    settings = settings_from(config, data_dir)
    with _reading(config, data_dir) as reader:
        run_id = _found(reader, run_id).id  # a wrong one starts no service

    screen = Screen()
    answer = asyncio.run(_cancelled(settings, run_id))
    if as_json:
        screen.record(answer)
    elif answer["was"] in ENDED:
        screen.note(f"Run {run_id} had ended already: it is {answer['status']}.")
    elif answer["status"] in ENDED:
        screen.line(f"Run {run_id} is {answer['status']}.")
    else:
        screen.line(f"Run {run_id} was told to stop and still cleans up; `runs show` says when it has ended.")


@group.command(
    "fork",
    cls=Command,
    epilog=examples(
        ("orchestrator runs fork ID", "take it up at the step that failed, or where it was cancelled"),
        ("orchestrator runs fork ID --from-step write", "run `write` anew, and what comes after it"),
        ("orchestrator runs fork ID --from-step 3.0/1 --input 7", "with another input"),
    ),
)
def fork(
    run_id: RunId,
    *,
    from_step: Annotated[
        str | None,
        typer.Option(
            metavar="STEP",
            help="The first step that runs anew: its name, or its operation as `runs show` has it. "
            "\\[default: the one that failed]",
        ),
    ] = None,
    with_input: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="Another input. \\[default: the same]")
    ] = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Start another run with what a run recorded up to a step.

    The first run stays as it is, open or ended. The fork's id is printed.
    """
    wanted: dict[str, object] = {} if from_step is None else {"from_step": from_step}
    if with_input is not None:
        wanted["input"] = _json(with_input)
    settings = settings_from(config, data_dir)
    with _reading(config, data_dir) as reader:
        run_id = _found(reader, run_id).id

    screen = Screen()
    answer = asyncio.run(_forked(settings, run_id, wanted))
    if as_json:
        screen.record(answer)
    else:
        screen.line(str(answer["id"]))


async def _forked(settings: "Settings", run_id: str, wanted: dict[str, object]) -> dict[str, object]:
    """Ask the service that runs for a fork, and give its answer.

    Raises:
        UnavailableError: none runs.
    """
    from orchestrator.app.cli.connection import connected
    from orchestrator.app.data_dir import serving
    from orchestrator.core.errors import UnavailableError

    service = serving(settings.data_dir)
    if service is None:
        raise UnavailableError(
            f"No service runs on {settings.data_dir}, and a fork goes on only while one does. Start it with "
            "`orchestrator serve`, or check --data-dir."
        )
    path = f"/api/v1/runs/{quote(run_id, safe='')}/fork"
    async with connected(settings) as connection:
        answer = await connection.request("POST", path, wanted, token=service.token)
    return cast("dict[str, object]", answer)


async def _cancelled(settings: "Settings", run_id: str) -> dict[str, str]:
    """Ask the service, or one of our own, to cancel the run; gives what it said."""
    from orchestrator.app.cli.connection import connected
    from orchestrator.app.data_dir import serving

    async with connected(settings) as connection:
        service = serving(settings.data_dir)
        token = service.token if service else ""
        answer = await connection.request(
            "POST", f"/api/v1/runs/{quote(run_id, safe='')}/cancel", token=token
        )
    return {name: str(answer[name]) for name in ("id", "was", "status")}


def _journal_path(config: Path | None, data_dir: Path | None) -> Path:
    from orchestrator.app.data_dir import JOURNAL_FILE

    return settings_from(config, data_dir).data_dir / JOURNAL_FILE


@contextmanager
def _reading(config: Path | None, data_dir: Path | None) -> "Iterator[JournalReader]":
    """The journal, opened for reading, with the keys of the settings.

    Raises:
        NotFoundError: there is none. JournalError: it is no journal, or damaged.
        SettingsError: the keys are not right.
    """
    from orchestrator.app.encryption import encryption_of
    from orchestrator.core.errors import NotFoundError
    from orchestrator.core.redaction import secrets_in
    from orchestrator.durable.embedded import JournalReader

    journal = _journal_path(config, data_dir)
    if not journal.exists():
        raise NotFoundError(f"There are no runs yet: there is no journal at {journal}. Check --data-dir.")
    settings = settings_from(config, data_dir)
    secrets = secrets_in(settings)
    with JournalReader(journal, encryption=encryption_of(settings), secrets=secrets) as reader:
        yield reader


def _found(reader: "JournalReader", name: str) -> "RunInfo":
    """The run of that id, or the newest one of the session of that id.

    Raises:
        NotFoundError: there is none.
    """
    from orchestrator.core.errors import NotFoundError

    of_session = reader.list(tags={"session": name}, limit=1)
    if of_session:
        return of_session[0]
    try:
        return reader.describe(name)
    except NotFoundError:
        raise NotFoundError(
            f"There is no run or session {name!r} here; `orchestrator runs list` shows what there is."
        ) from None


def _statuses(names: Sequence[str]) -> "list[Status]":
    from orchestrator.durable.runs import Status

    unknown = sorted(set(names) - set(STATUSES))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(unknown)} is none of {', '.join(STATUSES)}.", param_hint="--status"
        )
    return [Status(name) for name in names]


def _json(text: str) -> object:
    from pydantic_core import from_json

    try:
        return cast("object", from_json(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no JSON: {error}.", param_hint="--input") from error


def _plain(record: object) -> dict[str, object]:
    """A record of the engine as JSON has it."""
    from pydantic_core import to_jsonable_python

    return cast("dict[str, object]", to_jsonable_python(record))


def _say_if_nothing_moves(screen: Screen, data_dir: Path, runs: "Sequence[RunInfo]") -> None:
    """An open run without a service stands still, whatever its status says."""
    from orchestrator.app.data_dir import serving

    if any(not info.status.closed for info in runs) and serving(data_dir) is None:
        screen.note("No service runs now: what is open goes on when one is started.", "yellow")

"""`orchestrator schedules`: what is started when, and a way to pause it, resume it, or have it now.

Reading needs no service and disturbs none. What changes something goes through the service that runs, as it
alone starts what is due.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import quote

import typer

from orchestrator.app.cli.help import Command, Group
from orchestrator.app.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    JournalFile,
    ServiceUrl,
    examples,
    settings_from,
)
from orchestrator.app.cli.reading import is_moving, missing_journal, reading
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings

ScheduleId = Annotated[
    str, typer.Argument(metavar="ID", help="The schedule's id as `schedules list` shows it.")
]

group = typer.Typer(
    cls=Group,
    help="See which workflows are started when; pause them, resume them, or start one now.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=examples(
        ("orchestrator schedules list", "what is started when, and what was last"),
        ("orchestrator schedules pause ID", "start nothing until it is resumed"),
        ("orchestrator schedules run-now ID", "start it once, at once"),
    ),
)


@group.command(
    "list",
    cls=Command,
    epilog=examples(
        ("orchestrator schedules list", "all schedules, with their next times"),
        ("orchestrator schedules list --json | jq -r .next_at", "for a script"),
    ),
)
def list_schedules(
    *,
    journal: JournalFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List all schedules, by id. Times are those of this machine's clock; `--json` has them in UTC."""
    from pydantic_core import to_jsonable_python

    from orchestrator.app.cli.schedules_view import remarks, table_of_schedules

    screen = Screen()
    settings = settings_from(config, data_dir)
    if path := missing_journal(settings, journal):
        screen.note(
            f"No schedules yet: there is no journal at {path}, and engine is {settings.engine}.", "dim"
        )
        return
    with reading(settings, journal) as reader:
        found = reader.schedules()
        stands_still = bool(found) and not as_json and not is_moving(settings, journal, reader)
    if as_json:
        for info in found:
            screen.record(to_jsonable_python(info))
    elif found:
        screen.result(table_of_schedules(found, screen.out.width))
        for remark in remarks(found):
            screen.note(remark, "yellow")
        if stands_still:
            screen.note("No service runs now: nothing is started until one is.", "yellow")
    else:
        screen.note("No schedules yet.", "dim")


@group.command(
    "pause", cls=Command, epilog=examples(("orchestrator schedules pause ID", "start nothing until `resume`"))
)
def pause(
    schedule_id: ScheduleId,
    *,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Start nothing of a schedule until it is resumed.

    A run that is open goes on. Times that pass meanwhile do not happen.
    """
    answer = asyncio.run(_told(settings_from(config, data_dir, url=url), schedule_id, "pause"))
    screen = Screen()
    if as_json:
        screen.record(answer)
    else:
        screen.line(f"Schedule {schedule_id} is paused.")


@group.command(
    "resume", cls=Command, epilog=examples(("orchestrator schedules resume ID", "start its runs again"))
)
def resume(
    schedule_id: ScheduleId,
    *,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Start runs of a schedule again, from its next time on."""
    from datetime import datetime

    from orchestrator.app.cli.times import moment

    answer = asyncio.run(_told(settings_from(config, data_dir, url=url), schedule_id, "resume"))
    screen = Screen()
    if as_json:
        screen.record(answer)
    else:
        next_at = moment(datetime.fromisoformat(str(answer["next_at"])))
        screen.line(f"Schedule {schedule_id} is active; its next run starts at {next_at}.")


@group.command(
    "run-now", cls=Command, epilog=examples(("orchestrator schedules run-now ID", "start it once, at once"))
)
def run_now(
    schedule_id: ScheduleId,
    *,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a run of a schedule at once, beside its times.

    It is refused while the schedule's last run is still open. The run's id is printed.
    """
    answer = asyncio.run(_told(settings_from(config, data_dir, url=url), schedule_id, "run-now"))
    screen = Screen()
    if as_json:
        screen.record(answer)
    else:
        screen.line(str(answer["run"]))


async def _told(settings: "Settings", schedule_id: str, verb: str) -> dict[str, object]:
    """Tell the service that runs, and give its answer."""
    from orchestrator.app.cli.connection import connected_to_running

    path = f"/api/v1/schedules/{quote(schedule_id, safe='')}/{verb}"
    async with connected_to_running(settings, "only a service starts what is due") as connection:
        return cast("dict[str, object]", await connection.request("POST", path))

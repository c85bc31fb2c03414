"""The commands of `orchestrator runs` that change something, through the service that has the runs."""

import asyncio
import math
from typing import TYPE_CHECKING, Annotated, cast
from urllib.parse import quote

import typer

from orchestrator.app.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    RunId,
    ServiceUrl,
    examples,
    settings_from,
)
from orchestrator.app.cli.reading import reading, run_named
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.app.cli.connection import Connection
    from orchestrator.core.settings import Settings
    from orchestrator.durable.runs import RunInfo

ENDED = ("completed", "failed", "cancelled", "timed_out", "terminated")
STOOD_STILL = ("paused", "stuck")
CANCEL_EXAMPLES = examples(
    ("orchestrator runs cancel ID", "stop it; its steps are told"),
    ("orchestrator runs cancel ID --force-after 60", "and end it if it still runs a minute later"),
)
PAUSE_EXAMPLES = examples(("orchestrator runs pause ID", "begin nothing new until `resume`"))
RESUME_EXAMPLES = examples(
    ("orchestrator runs resume ID", "go on after a pause"),
    ("orchestrator runs list --status stuck", "what else can be resumed, once its code is right"),
)
FORK_EXAMPLES = examples(
    ("orchestrator runs fork ID", "take it up at the step that failed, or where it was cancelled"),
    ("orchestrator runs fork ID --from-step write", "run `write` anew, and what comes after it"),
    ("orchestrator runs fork ID --from-step 3.0/1 --input 7", "with another input"),
)


def _is_a_time(seconds: float | None) -> float | None:
    if seconds is not None and not math.isfinite(seconds):
        raise typer.BadParameter("give seconds, 0 or more.")
    return seconds


def cancel(
    run_id: RunId,
    *,
    force_after: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=_is_a_time,
            metavar="SECONDS",
            help="End it without its code if it is open then: nothing is cleaned up or undone any more. "
            "\\[default: never]",
        ),
    ] = None,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop a run.

    Its code is told and may clean up; the step that is running is stopped too. Where no service runs, one is
    started for this moment.
    """
    settings = settings_from(config, data_dir, url=url)
    wanted = {} if force_after is None else {"force_after": force_after}
    run_id = _id_to_cancel(settings, run_id, by_force=force_after == 0)
    answer = asyncio.run(_cancelled(settings, run_id, wanted))
    screen = Screen()
    if as_json:
        screen.record(answer)
    elif answer["was"] in ENDED:
        screen.note(f"Run {run_id} had ended already: it is {answer['status']}.")
    elif answer["status"] in ENDED:
        screen.line(f"Run {run_id} is {answer['status']}.")
    else:
        screen.line(f"Run {run_id} was told to stop and still cleans up; `runs show` says when it has ended.")


def pause(
    run_id: RunId,
    *,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Have a run begin no new step or child until it is resumed, through restarts too.

    What runs goes on to its end, and deadlines go on.
    """
    answer = _told(settings_from(config, data_dir, url=url), run_id, "pause")
    screen = Screen()
    if as_json:
        screen.record(answer)
    elif answer["status"] == "pending":
        screen.line(f"Run {answer['id']} has not begun, and will be paused when it does.")
    else:
        screen.line(f"Run {answer['id']} is paused.")


def resume(
    run_id: RunId,
    *,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let a paused run go on, or try a stuck one again with the code that the service has now.

    It fails where the run is stuck still, and says why.
    """
    answer = _told(settings_from(config, data_dir, url=url), run_id, "resume")
    screen = Screen()
    if as_json:
        screen.record(answer)
    elif answer["was"] in STOOD_STILL:
        screen.line(f"Run {answer['id']} goes on.")
    elif answer["status"] == "pending":
        screen.note(f"Run {answer['id']} {answer['reason']}, and will not be paused when it begins.")
    else:
        screen.note(f"Run {answer['id']} was not paused: it is {answer['status']}.")


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
    url: ServiceUrl = None,
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
    answer = _told(settings_from(config, data_dir, url=url), run_id, "fork", wanted)
    screen = Screen()
    if as_json:
        screen.record(answer)
    else:
        screen.line(answer["id"])


def _id(settings: "Settings", name: str) -> str:
    """The id of the run of that id or session; of a service elsewhere it is taken as it is."""
    if settings.client.url is not None:
        return name
    with reading(settings) as reader:
        return run_named(reader, name).id


def _id_to_cancel(settings: "Settings", name: str, *, by_force: bool) -> str:
    """The same, of a run that can be cancelled; a wrong name starts no service."""
    if settings.client.url is not None:
        return name
    with reading(settings) as reader:
        info = run_named(reader, name)
    if not by_force and not info.status.closed:
        _check_can_be_told(settings, info)
    return info.id


def _check_can_be_told(settings: "Settings", info: "RunInfo") -> None:
    """Keep a service that is started for the moment from ending runs whose code it does not have.

    Raises:
        UnavailableError: it would have no code for this run.
    """
    from orchestrator.app.cli.code import code_at_hand
    from orchestrator.app.data_dir import serving
    from orchestrator.core.errors import UnavailableError

    if serving(settings.data_dir) is not None:
        return
    known = {workflow.type_name for workflow in code_at_hand(settings, ()).workflows}
    if info.workflow not in known:
        raise UnavailableError(
            f"Run {info.id} is of the workflow {info.workflow!r}, whose code `orchestrator` does not have, "
            "so nothing could be cleaned up or undone. Cancel it in the program that has the code, or end it "
            "as it is with --force-after 0."
        )


async def _cancelled(settings: "Settings", run_id: str, wanted: dict[str, float]) -> dict[str, str]:
    """Ask the service, or one of our own, to cancel the run; gives what it said."""
    from orchestrator.app.cli.connection import connected

    async with connected(settings) as connection:
        return await _answer(connection, run_id, "cancel", wanted)


def _told(settings: "Settings", name: str, verb: str, wanted: object = None) -> dict[str, str]:
    """Tell the service that runs, and give its answer."""
    from orchestrator.app.cli.connection import connected_to_running

    async def told(run_id: str) -> dict[str, str]:
        async with connected_to_running(settings, "runs go on only while one does") as connection:
            return await _answer(connection, run_id, verb, wanted)

    return asyncio.run(told(_id(settings, name)))


async def _answer(connection: "Connection", run_id: str, verb: str, wanted: object) -> dict[str, str]:
    path = f"/api/v1/runs/{quote(run_id, safe='')}/{verb}"
    return cast("dict[str, str]", await connection.request("POST", path, wanted))


def _json(text: str) -> object:
    from pydantic_core import from_json

    try:
        return cast("object", from_json(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text} is no JSON: {error}.", param_hint="--input") from error

"""`orchestrator runs check`: would the open runs go on with the code at hand?"""

from typing import TYPE_CHECKING

import typer

from orchestrator.app.cli.code import Modules, code_at_hand
from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, JournalFile, examples, settings_from
from orchestrator.app.cli.reading import checked_runs
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.durable.checking import RunCheck

EXAMPLES = examples(
    ("orchestrator runs check", "before a deploy: replay all open runs against the new code"),
    ("orchestrator runs check --module my_app.workflows --journal runs.db", "of an engine of your own"),
    ("orchestrator runs check --json | jq -r 'select(.fits | not).run_id'", "for a script"),
)


def check(
    *,
    module: Modules = None,
    journal: JournalFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Replay all open runs against the code at hand, and show where they would not go on.

    Journal or cluster are only read, also while a service works on the runs; no step runs. The exit code is 6
    where a run does not fit.
    """
    from orchestrator.app.cli.check_view import of_misfit

    if journal and not module:
        raise typer.BadParameter(
            "name the code of that engine, such as my_app.workflows.", param_hint="--module"
        )
    settings = settings_from(config, data_dir)
    code = code_at_hand(settings, module or ())
    screen = Screen()
    checked = misfits = 0
    for found in checked_runs(settings, journal, code):
        checked += 1
        misfits += not found.fits
        if as_json:
            screen.record(_plain(found))
        elif not found.fits:
            screen.result(of_misfit(found))
    if not as_json:
        screen.note(_summary(checked, misfits), "red" if misfits else "green")
    if misfits:
        raise typer.Exit(ExitCode.MISFIT)


def _plain(found: "RunCheck") -> dict[str, object]:
    from pydantic_core import to_jsonable_python

    plain: dict[str, object] = to_jsonable_python(found)
    return plain


def _summary(checked: int, misfits: int) -> str:
    if not checked:
        return "There are no open runs."
    runs = "1 open run" if checked == 1 else f"{checked:,} open runs"
    if not misfits:
        return f"{runs} checked: all fit the code."
    return (
        f"{runs} checked: {misfits:,} would be stuck with this code. Keep the old workflow as it was, give "
        "the new one a version of its own, and check again."
    )

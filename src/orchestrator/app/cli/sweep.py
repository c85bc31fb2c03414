"""`orchestrator runs sweep`: what does not move, and why?"""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.app.cli.code import Modules, code_at_hand
from orchestrator.app.cli.journal import journal_at
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, JournalFile, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from datetime import timedelta

    from orchestrator.durable.embedded import Still, Sweep

MOST = 1_000

EXAMPLES = examples(
    ("orchestrator runs sweep", "what has not moved for an hour, and why"),
    ("orchestrator runs sweep --older-than 2d", "only what has not moved for two days"),
    ("orchestrator runs sweep --module my_app.workflows --journal runs.db", "of an engine of your own"),
    ("orchestrator runs sweep --json | jq -r 'select(.why == \"stuck\").id'", "for a script"),
)


def sweep(
    *,
    older_than: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Only what has not moved for so long, such as 90s, 30m, 1h or 2d; stuck ones always.",
        ),
    ] = "1h",
    limit: Annotated[int, typer.Option(min=1, max=MOST, metavar="NUMBER", help="How many at most.")] = 100,
    module: Modules = None,
    journal: JournalFile = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what does not move and why: runs, schedules, and a journal on which no service works.

    The journal is only read. Runs that sleep until a time that is still to come are left out.
    """
    from orchestrator.app.cli.sweep_view import remarks, table_of_still
    from orchestrator.app.encryption import encryption_of
    from orchestrator.core.clock import SystemClock, utc
    from orchestrator.core.redaction import secrets_in
    from orchestrator.durable.embedded import sweep_runs

    older = _time(older_than)
    settings = settings_from(config, data_dir)
    # The service's own code says nothing of another engine's journal.
    code = None if journal and not module else code_at_hand(settings, module or ())
    found = sweep_runs(
        journal_at(settings, journal),
        None if code is None else code.workflows,
        older_than=older,
        limit=limit,
        encryption=encryption_of(settings),
        secrets=secrets_in(settings),
        most_payload_bytes=settings.payloads.max_bytes,
    )
    screen = Screen()
    if as_json:
        for still in found.still:
            screen.record(_plain(still))
        return
    named = [still for still in found.still if still.kind != "journal"]
    if named:
        screen.result(table_of_still(named, utc(SystemClock().time())))
    for remark in remarks(found):
        screen.note(remark, "yellow")
    if not found.still:
        screen.note(_summary(found), "green")


def _time(text: str) -> "timedelta":
    from datetime import timedelta

    from orchestrator.app.cli.times import seconds_of

    try:
        return timedelta(seconds=seconds_of(text))
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error), param_hint="--older-than") from None


def _summary(found: "Sweep") -> str:
    runs = "1 open run" if found.open_runs == 1 else f"{found.open_runs:,} open runs"
    return f"Everything moves: {runs}." if found.open_runs else "There are no open runs."


def _plain(still: "Still") -> dict[str, object]:
    from pydantic_core import to_jsonable_python

    plain: dict[str, object] = to_jsonable_python(still)
    return plain

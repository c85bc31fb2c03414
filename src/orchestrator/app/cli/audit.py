"""`orchestrator audit`: who did what, when and from where."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, ServiceUrl, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.core.settings import Settings

AUDIT = "/api/v1/audit"
MOST = 1_000

EXAMPLES = examples(
    ("orchestrator audit", "the last hundred entries, newest first"),
    ("orchestrator audit --action run. --since 2d", "everything done to runs in two days"),
    ("orchestrator audit --action sign_in.refused --json | jq -r .source", "from where nobody was let in"),
)


def audit(  # noqa: PLR0913  # one parameter per option
    *,
    action: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this action, or all that begin so, such as `run.`."),
    ] = None,
    who: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only by this caller, such as `user:ada`."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="ID", help="Only to this run, schedule, key or session.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only the last while, such as 90s, 30m, 1h or 2d.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, metavar="NUMBER", help="How many at most.")] = 100,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the audit trail: who did what, when and from where; newest first.

    Refused sign-ins, API keys, what was triggered, and what was deleted. Entries are added and never changed.
    """
    from orchestrator.app.cli.audit_view import table_of_entries

    wanted = {"action": action, "who": who, "subject": subject, "since": _moment(since), "limit": limit}
    given = {name: value for name, value in wanted.items() if value is not None}
    entries = asyncio.run(_entries(settings_from(config, data_dir, url=url), given))
    screen = Screen()
    if as_json:
        for entry in entries:
            screen.record(entry)
    elif entries:
        screen.result(table_of_entries(entries, screen.out.width))
    else:
        screen.note("Nothing of that is on record.", "dim")


def _moment(since: str | None) -> str | None:
    from orchestrator.app.cli.times import seconds_of
    from orchestrator.core.clock import SystemClock, rfc3339, utc

    if since is None:
        return None
    try:
        return rfc3339(utc(SystemClock().time() - seconds_of(since)))
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


async def _entries(settings: "Settings", wanted: "Mapping[str, object]") -> list[dict[str, Any]]:
    """From the service that runs, or from its tables while none does."""
    from urllib.parse import urlencode

    from orchestrator.app.cli.at_hand import tables_at_hand
    from orchestrator.app.cli.connection import connected, is_served
    from orchestrator.core.clock import SystemClock
    from orchestrator.web.audit import Audit
    from orchestrator.web.audit.schemas import AuditFilter

    if is_served(settings):
        async with connected(settings) as connection:
            answer = await connection.request("GET", f"{AUDIT}?{urlencode(wanted)}")
            items: list[dict[str, Any]] = answer["items"]
            return items
    async with tables_at_hand(settings) as database:
        trail = Audit(database, SystemClock(), retention=settings.audit.retention)
        page = await trail.page(AuditFilter.model_validate(wanted))
        return [entry.model_dump(mode="json") for entry in page.items]

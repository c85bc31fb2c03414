"""`orchestrator owners`: whose things are."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from orchestrator.app.cli.help import Command, Group
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, ServiceUrl, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings

EXAMPLES = examples(("orchestrator owners move --from local --to ada", "what was made in dev mode is ada's"))

group = typer.Typer(
    cls=Group,
    help="Hand things from one owner to another.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=EXAMPLES,
)


@group.callback()
def owners() -> None:
    """Hand things from one owner to another."""


@group.command("move", cls=Command, epilog=EXAMPLES)
def move(
    *,
    giver: Annotated[
        str, typer.Option("--from", metavar="OWNER", help="Whose it is now; `local` made it in dev mode.")
    ],
    taker: Annotated[str, typer.Option("--to", metavar="USER", help="Whose it will be.")],
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Hand everything of one owner to another: rows of tables, and runs that have ended.

    What the other has already, such as the same answer of an agent, stays. It is refused while runs of the
    first owner are open. Run again, it moves what is left.
    """
    moved = asyncio.run(_moved(settings_from(config, data_dir, url=url), giver, taker))
    screen = Screen()
    if as_json:
        screen.record(moved)
        return
    for table, rows in moved["tables"].items():
        screen.line(f"{rows:>7,}  rows of {table}")
    if moved["runs"]:
        screen.line(f"{moved['runs']:>7,}  runs")
    if not moved["tables"] and not moved["runs"]:
        screen.note(f"{giver} has nothing that could go to {taker}.")
    for table, rows in moved["left"].items():
        screen.note(f"{rows:,} rows of {table} stay with {giver}: {taker} has the same already.", "yellow")


async def _moved(settings: "Settings", giver: str, taker: str) -> dict[str, Any]:
    from orchestrator.app.cli.connection import connected

    async with connected(settings) as connection:
        body = {"giver": giver, "taker": taker}
        return cast("dict[str, Any]", await connection.request("POST", "/api/v1/owners/move", body))

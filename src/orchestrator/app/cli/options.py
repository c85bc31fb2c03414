"""Options that several commands share, and the settings that they lead to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.core.settings import Settings

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where everything is kept. \\[default: ./orchestrator-data, or what is configured]",
        show_default=False,
    ),
]
JournalFile = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        help="The journal of an engine of your own. \\[default: that of the data directory]",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A YAML file of settings. \\[default: ./config.yaml if there is one]",
        show_default=False,
    ),
]
ServiceUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="A service elsewhere, with the token of ORCHESTRATOR_CLIENT_TOKEN. "
        "\\[default: the one on the data directory]",
        show_default=False,
    ),
]
RunId = Annotated[
    str, typer.Argument(metavar="ID", help="The run's id as `runs list` shows it, or its session's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON lines for scripts, and nothing else.")]


def examples(*lines: tuple[str, str]) -> str:
    """The closing part of a command's help: what to type, and what it is good for."""
    shown = [f"  [cyan]{command}[/cyan]\n      [dim]{purpose}[/dim]" for command, purpose in lines]
    return "\n".join(["[bold]Examples[/bold]", *shown])


def settings_from(
    config: Path | None,
    data_dir: Path | None,
    overrides: "Mapping[str, object] | None" = None,
    *,
    url: str | None = None,
) -> "Settings":
    """The settings of this command: file, environment, and what its options say."""
    from orchestrator.core.settings import load_settings

    return load_settings(config, {"data_dir": data_dir, "client.url": url} | dict(overrides or {}))

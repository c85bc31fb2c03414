"""`orchestrator doctor`: what is configured, reachable and wrong, and how to mend it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, examples
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.app.doctor import Check, Report, Setting

EXAMPLES = examples(
    ("orchestrator doctor", "check everything that the service would use"),
    ("orchestrator doctor --all", "list every setting, also those that nobody changed"),
    ("orchestrator doctor --json | jq .healthy", "in a script; the exit code says the same"),
)
MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "broken": ("✗", "bold red")}


def doctor(
    *,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    show_all: Annotated[bool, typer.Option("--all", help="List the defaults too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check what is configured, what can be reached, what is wrong, and say how to mend it.

    Nothing is changed and nothing is spent. Secrets are never shown. Exit code 0 means that the service can
    run (warnings may remain), 1 that something is broken.
    """
    from orchestrator.app.doctor import examine

    report = examine(config, {"data_dir": data_dir})
    screen = Screen()
    if as_json:
        screen.record({"healthy": report.healthy} | asdict(report))
    else:
        _show(report, screen, show_all=show_all)
    raise typer.Exit(ExitCode.OK if report.healthy else ExitCode.FAILED)


def _show(report: "Report", screen: Screen, *, show_all: bool) -> None:
    if report.settings:  # there are none where they cannot be read; the checks say why
        changed = [setting for setting in report.settings if show_all or setting.source != "default"]
        screen.result(_settings(changed) if changed else "[dim]Every setting has its default.[/dim]")
        screen.result("")
    screen.result(_checks(report.checks))
    screen.result("")
    screen.result(_verdict(report.checks))


def _settings(settings: "list[Setting]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Setting", "Value", "Set by"):
        table.add_column(title, overflow="fold")
    for setting in settings:
        table.add_row(Text(setting.name, "cyan"), Text(setting.value), Text(_source(setting), "dim"))
    return table


def _source(setting: "Setting") -> str:
    return setting.source if setting.used else f"{setting.source} (not used)"


def _checks(checks: "tuple[Check, ...]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        mark, style = MARKS[check.verdict]
        said = Text(check.detail)
        if check.mend:
            said.append(f"\n→ {check.mend}", style="dim" if check.verdict == "ok" else "cyan")
        table.add_row(Text(mark, style), Text(check.name, "bold"), said)
    return table


def _verdict(checks: "tuple[Check, ...]") -> str:
    broken = sum(check.verdict == "broken" for check in checks)
    warnings = sum(check.verdict == "warning" for check in checks)
    if broken:
        return f"[bold red]{broken} broken[/], {warnings} to look at."
    return f"[yellow]It can run; {warnings} to look at.[/]" if warnings else "[green]All is well.[/]"

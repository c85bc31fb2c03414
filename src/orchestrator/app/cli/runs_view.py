"""Runs, steps and events as people read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from orchestrator.app.cli.tables import fitted
from orchestrator.app.cli.times import duration, moment, short_moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import RenderableType

    from orchestrator.durable.runs import Event, RunInfo, StepView

STYLES = {
    "completed": "green",
    "failed": "red",
    "stuck": "bold red",
    "timed_out": "red",
    "cancelled": "yellow",
    "terminated": "yellow",
    "running": "cyan",
    "waiting": "cyan",
}
SHORTEST_DATA_CHARS = 20
LONGEST_TYPE_CHARS = 16  # cancel-requested
NAME_CHARS = 16  # generate-outline; what is longer pushes its data aside
FIRST_TO_GIVE_WAY = ("Took", "Workflow", "Started", "Status")


def table_of_runs(runs: Sequence[RunInfo], width: int) -> Table:
    """One row per run. Ids are there to be copied: where they would be broken, other columns give way."""
    columns = {
        "Run": [Text(info.id) for info in runs],
        "Workflow": [Text(info.workflow) for info in runs],
        "Status": [_status(info.status) for info in runs],
        "Started": [Text(short_moment(info.created_at), "dim") for info in runs],
        "Took": [Text(_took(info.created_at, info.closed_at), "dim") for info in runs],
    }
    return fitted(columns, width, FIRST_TO_GIVE_WAY, to_the_right=("Took",))


def description(info: RunInfo, steps: Sequence[StepView]) -> RenderableType:
    """A run in full: its facts, then its steps with what went wrong."""
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("Run", Text(info.id))
    facts.add_row("Workflow", Text(info.workflow))
    facts.add_row("Status", _status(info.status))
    facts.add_row("Started", Text(moment(info.created_at)))
    if info.closed_at:
        facts.add_row(
            "Ended", Text(f"{moment(info.closed_at)}, after {_took(info.created_at, info.closed_at)}")
        )
    if info.tags:
        facts.add_row("Tags", Text(", ".join(f"{key}={value}" for key, value in info.tags.items())))
    if info.reason:
        facts.add_row("Reason", Text(info.reason, "red"))
    failures = [
        Text(f"{step.name}: {step.failure.type}: {step.failure.message}", "red")
        for step in steps
        if step.failure and step.failure.message not in info.reason
    ]
    return Group(facts, "", _table_of_steps(steps), *failures) if steps else facts


def line_of_event(event: Event, width: int) -> Text:
    """One event on one line: offset, time, type, what it is about, and as much of its data as fits."""
    line = Text(f"{event.offset:>5}  ", "dim", no_wrap=True, overflow="ellipsis")
    line.append(f"{event.at.astimezone():%H:%M:%S}  ", "dim")
    line.append(f"{event.type:<{LONGEST_TYPE_CHARS}}", "cyan")
    about = event.name + (f" (attempt {event.attempt})" if event.attempt > 1 else "")
    if about or event.data is not None:
        line.append(f"  {about:<{NAME_CHARS}}")
    room = width - line.cell_len - 2
    if event.data is not None and room >= SHORTEST_DATA_CHARS:
        data = Text(json.dumps(event.data, ensure_ascii=False), "dim")
        data.truncate(room, overflow="ellipsis")
        line.append("  ").append_text(data)
    line.rstrip()
    return line


def _table_of_steps(steps: Sequence[StepView]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Step", overflow="fold")
    table.add_column("Status", no_wrap=True)
    table.add_column("Attempt", justify="right")
    table.add_column("Took", justify="right", no_wrap=True)
    for step in steps:
        took = Text(_took(step.started_at, step.closed_at), "dim")
        table.add_row(Text(step.name), _status(step.status), Text(str(step.attempt)), took)
    return table


def _status(status: str) -> Text:
    return Text(status, STYLES.get(status, ""))


def _took(began: datetime, ended: datetime | None) -> str:
    return "" if ended is None else duration((ended - began).total_seconds() * 1_000)

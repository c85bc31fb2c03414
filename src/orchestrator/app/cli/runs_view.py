"""Runs, steps and events as people read them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from orchestrator.app.cli.tables import fitted
from orchestrator.app.cli.times import duration, moment, short_moment
from orchestrator.core.clock import utc
from orchestrator.durable.runs import FORKED_FROM, EventType
from orchestrator.durable.schedules import SCHEDULE_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
    "paused": "yellow",
    "running": "cyan",
    "waiting": "cyan",
    "pending": "cyan",
}
# Tags that the engine itself gives, and what people call them.
OWN_TAGS = {FORKED_FROM: "Fork of", SCHEDULE_TAG: "Schedule"}
WITH_REASON_TO_ACT = ("stuck", "pending")
SHORTEST_DATA_CHARS = 20
LONGEST_TYPE_CHARS = 16  # cancel-requested
NAME_CHARS = 16  # generate-outline; what is longer pushes its data aside
FIRST_TO_GIVE_WAY = ("Took", "Workflow", "Started", "Status")
FIRST_TO_GIVE_WAY_OF_CHILDREN = ("Took", "Workflow")


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


def remarks(runs: Sequence[RunInfo]) -> list[str]:
    """Why some of them do not go on by themselves."""
    return [
        f"{info.id} is {info.status}: {info.reason}" for info in runs if info.status in WITH_REASON_TO_ACT
    ]


def description(
    info: RunInfo, steps: Sequence[StepView], children: Sequence[RunInfo], width: int
) -> RenderableType:
    """A run in full: its facts, then its steps and its child runs, with what went wrong."""
    parts: list[RenderableType] = [_facts(info)]
    if steps:
        parts += ["", _table_of_steps(steps), *_failures(info, steps)]
    if children:
        parts += ["", _table_of_children(children, width)]
        failed = [child for child in children if child.reason and child.reason not in info.reason]
        parts += [Text(f"{child.id}: {child.reason}", "red") for child in failed]
    return Group(*parts)


def _facts(info: RunInfo) -> Table:
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("Run", Text(info.id))
    facts.add_row("Workflow", Text(info.workflow))
    facts.add_row("Status", _status(info.status))
    if info.reason:
        facts.add_row("Reason", Text(info.reason, "" if info.status == "pending" else "red"))
    if info.parent:
        facts.add_row("Child of", Text(info.parent))
    for tag, name in OWN_TAGS.items():
        if tag in info.tags:
            facts.add_row(name, Text(info.tags[tag]))
    facts.add_row("Started", Text(moment(info.created_at)))
    if info.closed_at:
        facts.add_row(
            "Ended", Text(f"{moment(info.closed_at)}, after {_took(info.created_at, info.closed_at)}")
        )
    tags = [f"{key}={value}" for key, value in info.tags.items() if key not in OWN_TAGS]
    if tags:
        facts.add_row("Tags", Text(", ".join(tags)))
    return facts


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
        data = Text(_said(event), "dim")
        data.truncate(room, overflow="ellipsis")
        line.append("  ").append_text(data)
    line.rstrip()
    return line


def _said(event: Event) -> str:
    """What an event's data says: failures, times and ids in words, anything else as JSON."""
    match event.type, event.data:
        case EventType.STEP_FAILED | EventType.CHILD_FAILED | EventType.RUN_FAILED, {**failure}:
            return _told(failure)
        case EventType.STEP_RETRYING, {"failure": {**failure}, "retry_at": float(at)}:
            return f"again at {_later(event.at, at)} after {_told(failure)}"
        case EventType.CANCEL_REQUESTED, {"end_at": float(at)}:
            return f"by force at {_later(event.at, at)}"
        case EventType.CHILD_STARTED, str(child):
            return child
        case EventType.RUN_FORKED, {"from": str(first), "from_step": step}:
            return f"of {first}" + (f", from step {step}" if step else "")
    return json.dumps(event.data, ensure_ascii=False)


def _told(failure: Mapping[Any, Any]) -> str:
    return f"{failure['type']}: {failure['message']}"


def _later(now: datetime, at: float) -> str:
    """A moment beside an earlier one, whose day need not be said again."""
    local = utc(at).astimezone()
    return f"{local:%H:%M:%S}" if local.date() == now.astimezone().date() else moment(local)


def _failures(info: RunInfo, steps: Sequence[StepView]) -> list[Text]:
    return [
        Text(f"{step.name}: {step.failure.type}: {step.failure.message}", "red")
        for step in steps
        if step.failure and step.failure.message not in info.reason
    ]


def _table_of_children(children: Sequence[RunInfo], width: int) -> Table:
    columns = {
        "Child": [Text(info.id) for info in children],
        "Workflow": [Text(info.workflow) for info in children],
        "Status": [_status(info.status) for info in children],
        "Took": [Text(_took(info.created_at, info.closed_at), "dim") for info in children],
    }
    return fitted(columns, width, FIRST_TO_GIVE_WAY_OF_CHILDREN, to_the_right=("Took",))


def _table_of_steps(steps: Sequence[StepView]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Operation", style="dim")
    table.add_column("Step", overflow="fold")
    table.add_column("Status", no_wrap=True)
    table.add_column("Attempt", justify="right")
    table.add_column("Took", justify="right", no_wrap=True)
    for step in steps:
        took = Text(_took(step.started_at, step.closed_at), "dim")
        table.add_row(
            Text(step.operation), Text(step.name), _status(step.status), Text(str(step.attempt)), took
        )
    return table


def _status(status: str) -> Text:
    return Text(status, STYLES.get(status, ""))


def _took(began: datetime, ended: datetime | None) -> str:
    return "" if ended is None else duration((ended - began).total_seconds() * 1_000)

"""Schedules as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from orchestrator.app.cli.tables import fitted
from orchestrator.app.cli.times import moment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.table import Table

    from orchestrator.durable.schedules import ScheduleInfo

STYLES = {"active": "green", "paused": "yellow", "stuck": "bold red"}
FIRST_TO_GIVE_WAY = ("Workflow", "Zone", "Last", "Skipped", "Cron", "Status")


def table_of_schedules(schedules: Sequence[ScheduleInfo], width: int) -> Table:
    """One row per schedule; its times are those of whoever reads it."""
    columns = {
        "Schedule": [Text(info.id) for info in schedules],
        "Workflow": [Text(info.workflow) for info in schedules],
        "Cron": [Text(info.cron) for info in schedules],
        "Zone": [Text(info.zone) for info in schedules],
        "Status": [Text(info.status, STYLES[info.status]) for info in schedules],
        "Next": [Text(_when(info.next_at)) for info in schedules],
        "Last": [Text(_when(info.last_at), "dim") for info in schedules],
        "Skipped": [Text(str(info.skipped or ""), "dim") for info in schedules],
    }
    return fitted(columns, width, FIRST_TO_GIVE_WAY, to_the_right=("Skipped",))


def remarks(schedules: Sequence[ScheduleInfo]) -> list[str]:
    """What needs to be known of some of them: why they are stuck, and what they missed."""
    said = []
    for info in schedules:
        if info.reason:
            said.append(f"{info.id} is stuck: {info.reason}")
        if info.missed_at:
            said.append(f"{info.id} missed what was due from {moment(info.missed_at)} on: no service ran.")
    return said


def _when(at: datetime | None) -> str:
    return "" if at is None else moment(at)

"""What does not move, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from orchestrator.app.cli.tables import CLOSE
from orchestrator.app.cli.times import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.durable.embedded import Still, Sweep

STYLES = {
    "stuck": "bold red",
    "no-workflow": "bold red",
    "overdue": "red",
    "retry": "yellow",
    "paused": "yellow",
}


def table_of_still(still: Sequence[Still], now: datetime) -> Table:
    """One row for each: its id, how long it has not moved, why, and below that what is known of it."""
    table = Table(box=None, pad_edge=False, padding=CLOSE, header_style="bold")
    for name in ("Still for", "Why", "What"):
        table.add_column(name, no_wrap=name != "What", overflow="fold")
    for one in still:
        kind = "schedule " if one.kind == "schedule" else ""
        what = Text(f"{kind}{one.id}")
        what.append(f"  {one.workflow}\n", "cyan")
        what.append(one.detail, "dim")
        waited = Text(span((now - one.since).total_seconds()))
        table.add_row(waited, Text(one.why, STYLES.get(one.why, "")), what)
    return table


def remarks(found: Sweep) -> list[str]:
    """What needs to be known besides."""
    said = [f"No service runs on {one.id}: {one.detail}." for one in found.still if one.kind == "journal"]
    unnamed = found.total - len(found.still)
    if unnamed > 0:
        said.append(f"{unnamed:,} more do not move; --limit shows more of them.")
    return said

"""How the benchmarks print what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH_COLUMNS = 110
VERDICTS = {True: "[green]met[/green]", False: "[red]not met[/red]", None: "not judged: a peer is missing"}


def console() -> Console:
    """A console of 110 columns, so that a table looks the same in a terminal, a log and the documentation."""
    return Console(width=WIDTH_COLUMNS, highlight=False)


def print_targets(out: Console, targets: Sequence[tuple[str, str, bool | None]]) -> None:
    """Print each target beside what was measured."""
    table = Table()
    for title in ("Target", "Measured", ""):
        table.add_column(title)
    for target, measured, met in targets:
        table.add_row(target, measured, VERDICTS[met])
    out.print(table)

"""What moved from one engine to another, as people read it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from orchestrator.app.cli.tables import CLOSE
from orchestrator.durable.moving import LEFT, MOVED, WOULD_MOVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.durable.moving import Fate, Move

STYLES: dict[Fate, str] = {MOVED: "green", WOULD_MOVE: "cyan", LEFT: "yellow"}
WORDS: dict[Fate, str] = {MOVED: "moved", WOULD_MOVE: "would be moved", LEFT: "left"}


def table_of_moves(moves: Sequence[Move]) -> Table:
    """One row for each: what became of it, its id and workflow, and below that the reason."""
    table = Table(box=None, pad_edge=False, padding=CLOSE, header_style="bold")
    for name in ("Fate", "Was", "What"):
        table.add_column(name, no_wrap=name != "What", overflow="fold")
    for move in moves:
        what = Text(f"schedule {move.id}" if move.kind == "schedule" else move.id)
        what.append(f"  {move.workflow}", "cyan")
        if move.reason:
            what.append(f"\n{move.reason}", "dim")
        table.add_row(Text(WORDS[move.fate], STYLES[move.fate]), move.status, what)
    return table


def summary(moves: Sequence[Move]) -> str:
    """One sentence on all of them."""
    if not moves:
        return "There is nothing open to move."
    counted = Counter(move.fate for move in moves)
    told = ", ".join(f"{counted[fate]:,} {word}" for fate, word in WORDS.items() if counted[fate])
    return f"{told[0].upper()}{told[1:]}."

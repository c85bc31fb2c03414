"""Tables of things that have an id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rich.text import Text

CLOSE = (0, 1, 0, 0)  # a row of a lesson's run fits into 80 columns


def fitted(
    columns: Mapping[str, Sequence[Text]],
    width: int,
    first_to_give_way: Sequence[str],
    to_the_right: Collection[str] = (),
) -> Table:
    """A table of these columns, each with at least one cell.

    Ids are there to be copied: where they would be broken, other columns give way.
    """
    kept = dict(columns)
    widths = {name: max(len(name), *(cell.cell_len for cell in cells)) for name, cells in columns.items()}
    for name in first_to_give_way:
        if sum(widths[one] + 1 for one in kept) > width:
            del kept[name]
    table = Table(box=None, pad_edge=False, padding=CLOSE, header_style="bold")
    for name in kept:
        table.add_column(name, overflow="fold", justify="right" if name in to_the_right else "left")
    for row in zip(*kept.values(), strict=True):
        table.add_row(*row)
    return table

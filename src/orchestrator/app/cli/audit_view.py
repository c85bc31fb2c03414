"""The audit trail as people read it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from orchestrator.app.cli.tables import fitted
from orchestrator.app.cli.times import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

FIRST_TO_GIVE_WAY = ("Times", "For", "From")


def table_of_entries(entries: Sequence[dict[str, Any]], width: int) -> Table:
    """One row per entry; its time is that of whoever reads it."""
    columns = {
        "When": [Text(moment(datetime.fromisoformat(entry["at"])), "dim") for entry in entries],
        "Who": [Text(entry["who"]) for entry in entries],
        "Action": [Text(entry["action"]) for entry in entries],
        "Subject": [Text(entry["subject"]) for entry in entries],
        "For": [Text(entry["person"] or "", "dim") for entry in entries],
        "From": [Text(entry["source"], "dim") for entry in entries],
        "Times": [Text(str(entry["times"]) if entry["times"] > 1 else "") for entry in entries],
    }
    return fitted(columns, width, FIRST_TO_GIVE_WAY, to_the_right=("Times",))

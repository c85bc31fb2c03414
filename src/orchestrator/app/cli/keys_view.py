"""API keys as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from orchestrator.app.cli.tables import fitted
from orchestrator.app.cli.times import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

FIRST_TO_GIVE_WAY = ("Made by", "Made", "Last used", "Ends", "Scopes", "Name")


def table_of_keys(keys: Sequence[dict[str, Any]], width: int) -> Table:
    """One row per key; its times are those of whoever reads it."""
    columns = {
        "Key": [Text(key["id"], "dim strike" if key["revoked_at"] else "") for key in keys],
        "Name": [Text(key["name"]) for key in keys],
        "Acts as": [Text(key["user"] or key["scopes"][0]) for key in keys],
        "Scopes": [Text(", ".join(key["scopes"])) for key in keys],
        "Last used": [Text(_when(key["last_used_at"]) or "never", "dim") for key in keys],
        "Ends": [_end(key) for key in keys],
        "Made": [Text(_when(key["created_at"]), "dim") for key in keys],
        "Made by": [Text(key["created_by"], "dim") for key in keys],
    }
    return fitted(columns, width, FIRST_TO_GIVE_WAY)


def _end(key: dict[str, Any]) -> Text:
    if key["revoked_at"]:
        return Text("revoked", "red")
    return Text(_when(key["expires_at"]), "dim")


def _when(at: str | None) -> str:
    return "" if at is None else moment(datetime.fromisoformat(at))

"""Rows of lesson sessions, as tests of the database keep them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orchestrator.features.lessons.tables import Intent, SessionRow

MORNING = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)


def row(key: str, **fields: Any) -> SessionRow:  # noqa: ANN401  # columns of several types
    """A session row that names no owner unless told to."""
    given = {"topic": "tides", "brought": {}, "created_at": MORNING, "runs": 0, "intent": Intent.NONE}
    return SessionRow(id=key, **(given | fields))

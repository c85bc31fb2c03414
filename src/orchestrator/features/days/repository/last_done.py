"""The day that its owner did last, to be joined into a query: ``….outerjoin(LastDone, IS_LAST_DONE)``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import aliased

from orchestrator.features.days.tables import DaySessionRow

_Done = aliased(DaySessionRow)
LastDone = aliased(DaySessionRow)
IS_LAST_DONE: Final = LastDone.id == (
    select(_Done.id)
    .where(_Done.completed_at.is_not(None))
    .order_by(_Done.completed_at.desc())
    .limit(1)
    .scalar_subquery()
)

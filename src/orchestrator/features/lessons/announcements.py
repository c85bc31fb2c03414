"""What is told of lessons to their owners' clients and webhooks: ids and states, never what is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.durable.runs import Status
from orchestrator.web.events import NewEvent

if TYPE_CHECKING:
    from orchestrator.features.lessons.tables import SessionRow

CREATED: Final = "lesson_created"
COMPLETED: Final = "lesson_completed"
FAILED: Final = "lesson_failed"
ALL: Final = (CREATED, COMPLETED, FAILED)


def created(owner: str, row: SessionRow) -> NewEvent:
    """A session was made."""
    return NewEvent(CREATED, owner, {"user_id": owner, "session_id": row.id})


def ended(row: SessionRow, status: str) -> NewEvent:
    """The session's last run has ended, with its lesson or without; told once for each run."""
    kind = COMPLETED if status == Status.COMPLETED else FAILED
    data = {"user_id": row.owner, "session_id": row.id, "status": str(status)}
    return NewEvent(kind, row.owner, data, id=f"{kind}:{row.id}:{row.runs}")

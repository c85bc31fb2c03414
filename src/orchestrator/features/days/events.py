"""The six events of days: ids, topic, place, state and times, never notes, goals or what agents said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.clock import rfc3339, utc
from orchestrator.web.events import NewEvent

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.features.days.day import Made, Seen
    from orchestrator.features.days.tables import DaySessionRow, IntentRow

INTENT_CREATED: Final = "intent_created"
PLAN_CREATED: Final = "instructor_plan_created"
PLAN_COMPLETED: Final = "instructor_plan_completed"
SIGNAL_STALE: Final = "orchestrator_signal_stale"
AGENT_TIMEOUT: Final = "orchestrator_agent_timeout"
PLAN_FAILED: Final = "orchestrator_plan_failed"
ALL: Final = (INTENT_CREATED, PLAN_CREATED, PLAN_COMPLETED, SIGNAL_STALE, AGENT_TIMEOUT, PLAN_FAILED)

TIMEOUT: Final = "TIMEOUT"


def intent_created(owner: str, row: IntentRow) -> NewEvent:
    """Somebody wants to learn something new."""
    data = {
        "user_id": owner,
        "intent_id": row.id,
        "topic": row.topic,
        "created_at": rfc3339(row.created_at),
    }
    return NewEvent(INTENT_CREATED, owner, data)


def plan_completed(row: DaySessionRow, at: datetime) -> NewEvent:
    """A day is done."""
    return NewEvent(
        PLAN_COMPLETED, row.owner, _of_session(row) | {"completed_at": rfc3339(at)}, f"{row.id}.completed"
    )


def of_run(made: Made, row: DaySessionRow, at: datetime, *, is_new_plan: bool) -> list[NewEvent]:
    """What a run did, in the order in which it happened. A run that is told of twice is told of once."""
    about = _of_session(row)

    def event(kind: str, agent: str = "", **more: Any) -> NewEvent:  # noqa: ANN401  # JSON
        name = f"{made.run_id}.{kind}.{agent}" if agent else f"{made.run_id}.{kind}"
        named = {"agent": agent} if agent else {}
        return NewEvent(kind, row.owner, about | named | more, name)

    told = []
    for seen in made.seen:
        if seen.error_code == TIMEOUT:
            told.append(event(AGENT_TIMEOUT, seen.agent, at=rfc3339(at)))
        if seen.available and not seen.fresh:
            told.append(event(SIGNAL_STALE, seen.agent, last_updated=_when(seen)))
    if made.written.error_code is not None:
        told.append(event(PLAN_FAILED, code=made.written.error_code, at=rfc3339(at)))
    if is_new_plan:
        told.append(event(PLAN_CREATED, created_at=rfc3339(at)))
    return told


def _when(seen: Seen) -> str | None:
    return None if seen.updated_at is None else rfc3339(utc(seen.updated_at))


def _of_session(row: DaySessionRow) -> dict[str, Any]:
    return {
        "user_id": row.owner,
        "session_id": row.id,
        "intent_id": row.intent_id,
        "topic": row.topic,
        "week": row.week,
        "day": row.day,
        "degraded_mode": row.degraded_mode,
    }

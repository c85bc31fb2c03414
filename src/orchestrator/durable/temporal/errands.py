"""What a run's history has of the adapter's own activities, which are no steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from temporalio.api.enums.v1 import EventType as Kind

from orchestrator.durable.temporal.admission import CLAIM
from orchestrator.durable.temporal.going_on import CARRY_OVER

if TYPE_CHECKING:
    from temporalio.api.history.v1 import HistoryEvent

_ERRANDS: Final = frozenset({CLAIM, CARRY_OVER})


@dataclass(slots=True)
class Errands:
    """Reads one history. A later event names an activity by the number of its first one."""

    _asked: set[int] = field(default_factory=set)

    def have(self, event: HistoryEvent) -> bool:
        """Whether the event is about such an activity."""
        if event.event_type == Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            if event.activity_task_scheduled_event_attributes.activity_type.name not in _ERRANDS:
                return False
            self._asked.add(event.event_id)
            return True
        facts = getattr(event, event.WhichOneof("attributes") or "attributes", None)
        return getattr(facts, "scheduled_event_id", 0) in self._asked

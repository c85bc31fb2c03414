"""What a history on Temporal says of child runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.exceptions import CancelledError, TerminatedError

from orchestrator.durable.payloads import to_json
from orchestrator.durable.runs import EventType
from orchestrator.durable.temporal.children import FOLLOW, IS_FREE
from orchestrator.durable.temporal.failures import failure_in, failure_of_child

if TYPE_CHECKING:
    from temporalio.api.history.v1 import HistoryEvent

    from orchestrator.durable.errors import Failure

_COMPLETED: Final = {
    Kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_COMPLETED,
}
_FAILED: Final = {
    Kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_FAILED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT,
}
_CANCELLED: Final = {
    Kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
}
_TERMINATED: Final = {
    Kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED,
    Kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT,
}


@dataclass(frozen=True, slots=True)
class ToldOfChild:
    """What a parent recorded of a child: the event's type, its operation's key, and the data as JSON."""

    type: EventType
    key: str
    data: bytes


@dataclass(slots=True)
class ChildHistory:
    """Reads one history, event by event. A later event names a child by the number of its first one."""

    _asked: dict[int, tuple[str, str]] = field(default_factory=dict)

    def is_of_child(self, event: HistoryEvent) -> bool:
        """Whether the event is about a child, and about nothing else."""
        return self._first(event) in self._asked or self._asks(event)

    def read(self, event: HistoryEvent) -> ToldOfChild | None:
        """What the event tells of a child, if anything."""
        facts = _facts(event)
        if self._asks(event):
            self._asked[event.event_id] = _identity(event, facts)
            return None
        if self._first(event) not in self._asked:
            return None
        key, child_id = self._asked[self._first(event)]
        kind = event.event_type
        if kind == Kind.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
            return ToldOfChild(EventType.CHILD_STARTED, key, to_json(child_id, "a run's id"))
        if kind in _COMPLETED:
            return ToldOfChild(EventType.CHILD_COMPLETED, key, facts.result.payloads[0].data)
        failure = _failure(kind, facts, child_id)
        if failure is None:
            return None
        return ToldOfChild(EventType.CHILD_FAILED, key, failure.model_dump_json().encode())

    @staticmethod
    def _asks(event: HistoryEvent) -> bool:
        if event.event_type == Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            return event.activity_task_scheduled_event_attributes.activity_type.name == FOLLOW
        return event.event_type == Kind.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED

    @staticmethod
    def _first(event: HistoryEvent) -> int:
        """The number of the event with which the child was asked for; 0 where there is none."""
        facts = _facts(event)
        number: int = getattr(facts, "initiated_event_id", 0) or getattr(facts, "scheduled_event_id", 0)
        return number


def _facts(event: HistoryEvent) -> Any:
    return getattr(event, event.WhichOneof("attributes") or "attributes", None)


def _identity(event: HistoryEvent, facts: Any) -> tuple[str, str]:
    """The operation's key and the child's id."""
    if event.event_type == Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        return facts.activity_id, from_json(facts.input.payloads[0].data)
    return from_json(event.user_metadata.summary.data), facts.workflow_id


def _failure(kind: int, facts: Any, child_id: str) -> Failure | None:
    if kind in _FAILED:
        failure = failure_in(facts.failure)
        return None if failure.type == IS_FREE else failure
    if kind in _CANCELLED:
        return failure_of_child(child_id, CancelledError())
    if kind in _TERMINATED:
        return failure_of_child(child_id, TerminatedError(""))
    return None

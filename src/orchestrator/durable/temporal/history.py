"""A run's events and steps, read out of Temporal's own history."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pydantic_core
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.converter import DataConverter

from orchestrator.durable.runs import Event, EventType, Status, StepView
from orchestrator.durable.temporal.failures import failure_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import JsonValue
    from temporalio.api.common.v1 import Payloads
    from temporalio.api.failure.v1 import Failure as RecordedFailure
    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.client import WorkflowHandle

    from orchestrator.durable.errors import Failure

_STEP_ENDS = {
    Kind.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: EventType.STEP_COMPLETED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_FAILED: EventType.STEP_FAILED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: EventType.STEP_FAILED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_CANCELED: EventType.STEP_CANCELLED,
}
_STEP_STATUS = {
    EventType.STEP_COMPLETED: Status.COMPLETED,
    EventType.STEP_FAILED: Status.FAILED,
    EventType.STEP_CANCELLED: Status.CANCELLED,
}
_PLAIN = {
    Kind.EVENT_TYPE_TIMER_FIRED: EventType.TIMER_FIRED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: EventType.CANCEL_REQUESTED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: EventType.RUN_CANCELLED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: EventType.RUN_TERMINATED,
}


async def events_of(handle: WorkflowHandle[Any, Any], after: int) -> AsyncIterator[Event]:
    """The run's events beyond ``after``, live, until its last one."""
    reader = _Reader()
    offset = 0
    async for entry in handle.fetch_history_events(wait_new_event=True):
        event = reader.read(entry)
        if event is None:
            continue
        offset += 1
        if offset > after:
            yield replace(event, offset=offset)


async def steps_of(handle: WorkflowHandle[Any, Any]) -> list[StepView]:
    """The run's steps as its history has them, in the order in which they were asked for."""
    reader = _Reader()
    steps: dict[str, StepView] = {}
    async for entry in handle.fetch_history_events():
        event = reader.read(entry)
        if event is None or not event.operation:
            continue
        if event.type is EventType.STEP_STARTED:
            steps[event.operation] = StepView(event.operation, event.name, Status.RUNNING, 1, event.at)
        else:
            steps[event.operation] = replace(
                steps[event.operation],
                status=_STEP_STATUS[event.type],
                attempt=event.attempt,
                closed_at=event.at,
                result=event.data if event.type is EventType.STEP_COMPLETED else None,
                failure=reader.failures.get(event.operation),
            )
    running = (await handle.describe()).raw_description.pending_activities
    for activity in running:
        operation = activity.activity_id.partition(":")[0]
        if operation in steps and steps[operation].closed_at is None:
            steps[operation] = replace(steps[operation], attempt=max(activity.attempt, 1))
    return list(steps.values())


@dataclass(slots=True)
class _Reader:
    """Turns history entries into events; an activity's later entries name it by the id of its first."""

    failures: dict[str, Failure] = field(default_factory=dict)
    _steps: dict[int, tuple[str, str]] = field(default_factory=dict)
    _attempts: dict[int, int] = field(default_factory=dict)
    _signals: set[bytes] = field(default_factory=set)

    def read(self, entry: HistoryEvent) -> Event | None:
        """The event that ``entry`` is, with offset 0; None for entries that are Temporal's own affair."""
        match entry.event_type:
            case Kind.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                data = _value(entry.workflow_execution_started_event_attributes.input)
                return _event(EventType.RUN_STARTED, entry, data=data)
            case Kind.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
                data = _value(entry.workflow_execution_completed_event_attributes.result)
                return _event(EventType.RUN_COMPLETED, entry, data=data)
            case Kind.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
                failure = _failure(entry.workflow_execution_failed_event_attributes.failure)
                return _event(EventType.RUN_FAILED, entry, data=failure.model_dump(mode="json"))
            case Kind.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                return self._signal(entry)
            case Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                return self._scheduled(entry)
            case Kind.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                started = entry.activity_task_started_event_attributes
                self._attempts[started.scheduled_event_id] = started.attempt
                return None
        if entry.event_type in _STEP_ENDS:
            return self._ended(entry, _STEP_ENDS[entry.event_type])
        if entry.event_type in _PLAIN:
            return _event(_PLAIN[entry.event_type], entry)
        return None

    def _scheduled(self, entry: HistoryEvent) -> Event:
        activity = entry.activity_task_scheduled_event_attributes
        operation, _, name = activity.activity_id.partition(":")
        self._steps[entry.event_id] = operation, name
        return _event(
            EventType.STEP_STARTED,
            entry,
            name=name,
            operation=operation,
            attempt=1,
            data=_value(activity.input),
        )

    def _ended(self, entry: HistoryEvent, kind: EventType) -> Event:
        attributes = getattr(entry, entry.WhichOneof("attributes") or "")
        operation, name = self._steps[attributes.scheduled_event_id]
        data: JsonValue = None
        if kind is EventType.STEP_COMPLETED:
            data = _value(attributes.result)
        elif kind is EventType.STEP_FAILED:
            self.failures[operation] = _failure(attributes.failure)
            data = self.failures[operation].model_dump(mode="json")
        attempt = self._attempts.get(attributes.scheduled_event_id, 1)
        return _event(kind, entry, name=name, operation=operation, attempt=attempt, data=data)

    def _signal(self, entry: HistoryEvent) -> Event | None:
        signal = entry.workflow_execution_signaled_event_attributes
        identity = signal.input.payloads[-1].data
        if identity in self._signals:
            return None
        self._signals.add(identity)
        return _event(EventType.SIGNAL_RECEIVED, entry, name=signal.signal_name, data=_value(signal.input))


def _event(
    kind: EventType,
    entry: HistoryEvent,
    *,
    name: str = "",
    operation: str = "",
    attempt: int = 0,
    data: JsonValue = None,
) -> Event:
    at = entry.event_time.ToDatetime(UTC)
    return Event(0, kind, at, name=name, operation=operation, attempt=attempt, data=data)


def _value(payloads: Payloads) -> JsonValue:
    value: JsonValue = pydantic_core.from_json(payloads.payloads[0].data)
    return value


def _failure(recorded: RecordedFailure) -> Failure:
    converter = DataConverter.default
    return failure_of(converter.failure_converter.from_failure(recorded, converter.payload_converter))

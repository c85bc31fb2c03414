"""A run's events and steps, read out of Temporal's own history."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pydantic_core
from temporalio.api.enums.v1 import EventType as Kind

from orchestrator.durable.entries import event_of
from orchestrator.durable.errors import Failure
from orchestrator.durable.names import RESERVED
from orchestrator.durable.prefix import entries_of
from orchestrator.durable.runs import Event, EventType, Status, StepView
from orchestrator.durable.temporal.beginnings import Beginning
from orchestrator.durable.temporal.child_history import ChildHistory
from orchestrator.durable.temporal.deliveries import BREATH
from orchestrator.durable.temporal.errands import Errands
from orchestrator.durable.temporal.failures import failure_in
from orchestrator.durable.temporal.gates import ADMITTED
from orchestrator.durable.temporal.machine import PUBLISHED
from orchestrator.durable.temporal.pausing import PAUSE
from orchestrator.durable.temporal.places import PENDING
from orchestrator.durable.temporal.signals import signal_of
from orchestrator.durable.temporal.standing import describe
from orchestrator.durable.temporal.travelling import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pydantic import JsonValue
    from temporalio.api.common.v1 import Payload, Payloads
    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.client import Client, WorkflowHandle

    from orchestrator.core.redaction import Redactor


_KINDS = {
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED: EventType.RUN_STARTED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: EventType.STEP_STARTED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: EventType.STEP_COMPLETED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_FAILED: EventType.STEP_FAILED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: EventType.STEP_FAILED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_CANCELED: EventType.STEP_CANCELLED,
    Kind.EVENT_TYPE_TIMER_FIRED: EventType.TIMER_FIRED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED: EventType.SIGNAL_RECEIVED,
    Kind.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED: EventType.PUBLISHED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED: EventType.CANCEL_REQUESTED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: EventType.RUN_COMPLETED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: EventType.RUN_FAILED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: EventType.RUN_FAILED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: EventType.RUN_CANCELLED,
    Kind.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: EventType.RUN_TERMINATED,
}
_INPUT = {EventType.RUN_STARTED, EventType.STEP_STARTED}
_RESULT = {EventType.RUN_COMPLETED, EventType.STEP_COMPLETED}
_FAILURE = {EventType.RUN_FAILED, EventType.STEP_FAILED}
# Only an operator of the cluster gives runs a time limit.
RUN_TIMED_OUT = Failure(
    type="RunTimedOutError", code="run_timed_out", message="it ran longer than its cluster allows"
)
_STEP_STATUS = {
    EventType.STEP_COMPLETED: Status.COMPLETED,
    EventType.STEP_FAILED: Status.FAILED,
    EventType.STEP_CANCELLED: Status.CANCELLED,
}


async def events_of(
    client: Client, run_id: str, after: int, redactor: Redactor, *, is_live: bool = True
) -> AsyncIterator[Event]:
    """The run's events beyond ``after``, until its last one; none of lives before the current one.

    Offsets count through all lives. Unless it ``is_live``, it ends with the last event that there is now.
    """
    info = (await describe(client, run_id)).workflow_execution_info
    life, offset, is_shown = info.first_run_id, 0, False
    begins_with = await _beginning_of_life(client, run_id, info.execution.run_id)
    reader = HistoryReader(redactor)
    while life:
        is_shown = is_shown or life == begins_with
        handle = client.get_workflow_handle(run_id, run_id=life)
        life = ""
        async for entry in opened(handle, client.data_converter, is_live=is_live):
            if entry.event_type == Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
                life = entry.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
            for event in reader.read(entry):
                offset += 1
                if is_shown and offset > after:
                    yield replace(event, offset=offset)
        reader = HistoryReader(redactor, knows_before=True)


async def _beginning_of_life(client: Client, run_id: str, history: str) -> str:
    """The first history of the life of which this is the present one."""
    while True:
        entries = opened(client.get_workflow_handle(run_id, run_id=history), client.data_converter)
        began = await anext(entries)
        facts = began.workflow_execution_started_event_attributes
        if not Beginning.model_validate_json(facts.input.payloads[1].data).goes_on:
            return history
        history = facts.continued_execution_run_id


async def steps_of(client: Client, handle: WorkflowHandle[Any, Any], redactor: Redactor) -> list[StepView]:
    """The run's steps as its history has them, in the order in which they were asked for."""
    reader = HistoryReader(redactor)
    steps: dict[str, StepView] = {}
    entries = opened(handle, client.data_converter)
    events = [event async for entry in entries for event in reader.read(entry)]
    for event in events:
        if event.type is EventType.STEP_STARTED:
            steps[event.operation] = StepView(event.operation, event.name, Status.RUNNING, 1, event.at)
        elif event.type in _STEP_STATUS:
            steps[event.operation] = replace(
                steps[event.operation],
                status=_STEP_STATUS[event.type],
                attempt=event.attempt,
                closed_at=event.at,
                result=event.data if event.type is EventType.STEP_COMPLETED else None,
                failure=Failure.model_validate(event.data) if event.type is EventType.STEP_FAILED else None,
            )
    running = (await describe(client, handle.id)).pending_activities
    for activity in running:
        operation = activity.activity_id.partition(":")[0]
        if operation in steps and steps[operation].closed_at is None:
            steps[operation] = replace(steps[operation], attempt=max(activity.attempt, 1))
    return list(steps.values())


@dataclass(slots=True)
class HistoryReader:
    """Turns history entries into events; an activity's later entries name it by the id of its first.

    Of a history that goes on with the one before, what it took over is told only to who does not know that
    one: ``knows_before`` says who does.
    """

    _redactor: Redactor
    knows_before: bool = False
    goes_on: bool = False
    """Whether what was read is of such a history, to one who knows the one before."""
    _steps: dict[int, tuple[str, str]] = field(default_factory=dict)
    _attempts: dict[int, int] = field(default_factory=dict)
    _timers: dict[int, str] = field(default_factory=dict)
    _signals: set[bytes] = field(default_factory=set)
    _children: ChildHistory = field(default_factory=ChildHistory)
    _errands: Errands = field(default_factory=Errands)
    _is_paused: bool = False
    _is_pending: bool = False

    def read(self, entry: HistoryEvent) -> Sequence[Event]:
        """The events that ``entry`` tells of, with offset 0; none where it is Temporal's own affair."""
        if self._errands.have(entry):
            return []
        facts: Any = getattr(entry, entry.WhichOneof("attributes") or "attributes", None)
        if entry.event_type == Kind.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
            data, said = (payload.data for payload in facts.input.payloads)
            beginning = Beginning.model_validate_json(said)
            self._is_paused = beginning.is_paused
            self._is_pending = PENDING in facts.memo.fields
            prefix = beginning.taken_over
            self._signals.update(beginning.signals)
            if prefix is not None:
                self.goes_on = beginning.goes_on and self.knows_before
                if self.goes_on:
                    return []
                return [event_of(taken_over, self._redactor) for taken_over in entries_of(prefix, data)]
        events = [event] if (event := self._event(entry)) is not None else []
        if entry.event_type == Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
            # A cancel lifts a pause.
            resumed = self._of_pause(entry, pauses=False)
            return events if resumed is None else [resumed, *events]
        return events

    def _event(self, entry: HistoryEvent) -> Event | None:
        if self._children.is_of_child(entry):
            return self._of_child(entry)
        facts: Any = getattr(entry, entry.WhichOneof("attributes") or "attributes", None)
        if entry.event_type == Kind.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            self._attempts[facts.scheduled_event_id] = facts.attempt
        if entry.event_type == Kind.EVENT_TYPE_TIMER_STARTED and _is_asked_for(entry):
            self._timers[entry.event_id] = pydantic_core.from_json(entry.user_metadata.summary.data)
        kind = _KINDS.get(entry.event_type)
        if kind is None or self._is_hidden(kind, facts):
            return None
        if kind is EventType.SIGNAL_RECEIVED:
            if facts.signal_name.startswith(RESERVED):
                return self._of_our_own(entry, facts)
            if self._is_repeated(facts):
                return None
        operation, name, attempt = self._whose(kind, entry.event_id, facts)
        at = entry.event_time.ToDatetime(UTC)
        return Event(0, kind, at, name, operation, attempt, self._redactor.value(_data(kind, facts)))

    def _of_child(self, entry: HistoryEvent) -> Event | None:
        told = self._children.read(entry)
        if told is None:
            return None
        operation, _, name = told.key.partition(":")
        at = entry.event_time.ToDatetime(UTC)
        data = self._redactor.read(told.data)
        return Event(0, told.type, at, name.removeprefix("child "), operation, 0, data)

    def _is_hidden(self, kind: EventType, facts: Any) -> bool:
        if kind is EventType.PUBLISHED:
            memo = facts.upserted_memo.fields
            if PENDING in memo:
                self._is_pending = _is_said(memo[PENDING])
            return PUBLISHED not in memo
        if kind is EventType.TIMER_FIRED:
            return facts.started_event_id not in self._timers
        # The code of a run that has no place yet never began: it hears of no cancel.
        return self._is_pending and kind is EventType.CANCEL_REQUESTED

    def _of_our_own(self, entry: HistoryEvent, signal: Any) -> Event | None:
        if signal.signal_name != ADMITTED:
            return self._of_pause(entry, pauses=signal.signal_name == PAUSE)
        self._is_pending = False
        waited = signal_of(signal.input.payloads)[0] == b"true"
        return Event(0, EventType.RUN_ADMITTED, entry.event_time.ToDatetime(UTC)) if waited else None

    def _of_pause(self, entry: HistoryEvent, *, pauses: bool) -> Event | None:
        if self._is_paused == pauses:
            return None
        self._is_paused = pauses
        kind = EventType.RUN_PAUSED if pauses else EventType.RUN_RESUMED
        return Event(0, kind, entry.event_time.ToDatetime(UTC))

    def _is_repeated(self, signal: Any) -> bool:
        _, identity = signal_of(signal.input.payloads)
        if identity is None:
            return False
        is_repeated = identity in self._signals
        self._signals.add(identity)
        return is_repeated

    def _whose(self, kind: EventType, event_id: int, facts: Any) -> tuple[str, str, int]:
        """The operation, name and attempt that an entry is about."""
        if kind is EventType.SIGNAL_RECEIVED:
            return "", facts.signal_name, 0
        if kind is EventType.STEP_STARTED:
            operation, _, name = facts.activity_id.partition(":")
            self._steps[event_id] = operation, name
            return operation, name, 1
        if kind is EventType.TIMER_FIRED:
            operation, _, name = self._timers[facts.started_event_id].partition(":")
            return operation, name, 0
        if kind is EventType.PUBLISHED:
            operation, _, name = _published(facts)["key"].partition(":")
            return operation, name.removeprefix("publish "), 0
        if kind in _STEP_STATUS:
            scheduled = facts.scheduled_event_id
            return *self._steps[scheduled], self._attempts.get(scheduled, 1)
        return "", "", 0


def _is_asked_for(timer: HistoryEvent) -> bool:
    """Whether the run's code asked for it, not the adapter."""
    metadata = timer.user_metadata
    return metadata.HasField("summary") and pydantic_core.from_json(metadata.summary.data) != BREATH


def _is_said(value: Payload) -> bool:
    return value.metadata.get("encoding") != b"binary/null"


def _data(kind: EventType, facts: Any) -> JsonValue:
    if kind in _INPUT:
        return _value(facts.input)
    if kind is EventType.SIGNAL_RECEIVED:
        return _parsed(signal_of(facts.input.payloads)[0])
    if kind in _RESULT:
        return _value(facts.result)
    if kind is EventType.RUN_FAILED and not hasattr(facts, "failure"):
        return RUN_TIMED_OUT.model_dump(mode="json")
    if kind in _FAILURE:
        data: JsonValue = failure_in(facts.failure).model_dump(mode="json")
        return data
    return _published(facts)["data"] if kind is EventType.PUBLISHED else None


def _published(facts: Any) -> Any:
    return pydantic_core.from_json(facts.upserted_memo.fields[PUBLISHED].data)


def _value(payloads: Payloads) -> JsonValue:
    return _parsed(payloads.payloads[0].data)


def _parsed(data: bytes) -> JsonValue:
    value: JsonValue = pydantic_core.from_json(data)
    return value

"""What a run on Temporal recorded, as entries of the kind that the embedded engine writes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json
from temporalio.api.enums.v1 import EventType as Kind

from orchestrator.durable.entries import signal_key, step_key
from orchestrator.durable.names import RESERVED
from orchestrator.durable.payloads import to_json
from orchestrator.durable.prefix import entries_of
from orchestrator.durable.runs import EventType
from orchestrator.durable.temporal.beginnings import Beginning
from orchestrator.durable.temporal.child_history import ChildHistory
from orchestrator.durable.temporal.deliveries import BREATH, Source
from orchestrator.durable.temporal.errands import Errands
from orchestrator.durable.temporal.failures import failure_in
from orchestrator.durable.temporal.going_on import CARRY_OVER
from orchestrator.durable.temporal.machine import PUBLISHED
from orchestrator.durable.temporal.signals import signal_of
from orchestrator.durable.temporal.taken_over import breaths
from orchestrator.streams import Entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from temporalio.api.history.v1 import HistoryEvent

# A cancel is told to the code before anything else of the same workflow task.
_FIRST: Final = -1
_STEP_ENDS: Final = {
    Kind.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: EventType.STEP_COMPLETED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_FAILED: EventType.STEP_FAILED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: EventType.STEP_FAILED,
    Kind.EVENT_TYPE_ACTIVITY_TASK_CANCELED: EventType.STEP_CANCELLED,
}


async def recorded_of(history: AsyncIterable[HistoryEvent]) -> tuple[bytes, list[Entry]]:
    """What a run's history says: its seed, and its entries in the order of their delivery.

    The first entry is the run's start with its input; what it took over from another run follows it.
    """
    reading = _Reading()
    async for event in history:
        reading.read(event)
    reading.end()
    return reading.seed, [replace(entry, offset=offset) for offset, entry in enumerate(reading.entries, 1)]


class _Reading:
    """Reads one history, event by event."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.seed = b""
        # What comes with the next workflow task, each with its place among all that does.
        self._coming: list[tuple[int, Entry]] = []
        self._task_at: float | None = None
        # What later events name by the number of an earlier one: its key, and the place of its entry.
        self._steps: dict[int, tuple[str, int]] = {}
        self._attempts: dict[int, int] = {}
        self._timers: dict[int, str] = {}
        self._signals: set[bytes] = set()
        self._children = ChildHistory()
        self._errands = Errands()
        self._is_frozen = False
        self._history = ""
        # So many turns more it takes until the code is told what the run began with.
        self._breaths = 0

    def read(self, event: HistoryEvent) -> None:
        """Take in the next event; what is Temporal's own affair says nothing."""
        facts: Any = getattr(event, event.WhichOneof("attributes") or "attributes", None)
        at = event.event_time.ToNanoseconds() / 1e9
        if self._errands.have(event):
            self._freeze(event)
            return
        if self._children.is_of_child(event):
            self._of_child(event, at)
            return
        match event.event_type:
            case Kind.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                self._task_at = at
            case Kind.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                self.deliver()
            case Kind.EVENT_TYPE_WORKFLOW_TASK_FAILED | Kind.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
                self._task_at = None
            case Kind.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
                self._begin(facts, at)
            case Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED | Kind.EVENT_TYPE_TIMER_STARTED:
                self._asked(event, facts, at)
            case Kind.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED:
                self._published(facts, at)
            case _:
                self._happened(event, facts, at)

    def deliver(self) -> None:
        """Let what has come be delivered: by source, each at the time that the code saw."""
        if self._is_frozen or self._breaths:
            self._task_at = None
            return
        for _, entry in sorted(self._coming, key=lambda coming: coming[0]):
            self.entries.append(entry if self._task_at is None else replace(entry, at=self._task_at))
        self._coming.clear()
        self._task_at = None

    def end(self) -> None:
        """There is no more to read: let all be delivered that has come."""
        self._is_frozen = False
        self._breaths = 0
        self.deliver()

    def _freeze(self, event: HistoryEvent) -> None:
        """While the run has its history read, nothing is delivered."""
        if event.event_type == Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            name = event.activity_task_scheduled_event_attributes.activity_type.name
            self._is_frozen = name == CARRY_OVER
        elif event.event_type in _STEP_ENDS:
            self._is_frozen = False

    def _begin(self, facts: Any, at: float) -> None:
        data, said = (payload.data for payload in facts.input.payloads)
        beginning = Beginning.model_validate_json(said)
        self._history = facts.original_execution_run_id
        self.seed = beginning.seed(facts.first_execution_run_id)
        self._signals.update(beginning.signals)
        if beginning.taken_over is None:
            self._come(_FIRST, EventType.RUN_STARTED, "", at, data)
        else:
            self.entries = entries_of(beginning.taken_over, data)
            self._breaths = breaths(self.entries[1:])
        for letter in beginning.letters:
            key = signal_key(letter.name, from_json(letter.identity))
            self._come(_FIRST, EventType.SIGNAL_RECEIVED, key, at, letter.data.encode())

    def _asked(self, event: HistoryEvent, facts: Any, at: float) -> None:
        if event.event_type == Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            self._steps[event.event_id] = facts.activity_id, len(self.entries)
            self._note(EventType.STEP_STARTED, step_key(facts.activity_id, 1), at)
        elif event.user_metadata.HasField("summary"):
            self._timers[event.event_id] = from_json(event.user_metadata.summary.data)

    def _happened(self, event: HistoryEvent, facts: Any, at: float) -> None:
        match event.event_type:
            case Kind.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                self._attempts[facts.scheduled_event_id] = facts.attempt
            case Kind.EVENT_TYPE_TIMER_FIRED if facts.started_event_id in self._timers:
                key = self._timers[facts.started_event_id]
                if key == BREATH:
                    self._breaths -= 1
                    return
                self._come(Source.TIMER, EventType.TIMER_FIRED, key, at)
            case Kind.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
                self._signalled(event, facts, at)
            case Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                self._is_frozen = False
                self._come(_FIRST, EventType.CANCEL_REQUESTED, "", at)
            case kind if kind in _STEP_ENDS:
                self._step_ended(_STEP_ENDS[kind], facts, at)

    def _of_child(self, event: HistoryEvent, at: float) -> None:
        told = self._children.read(event)
        if told is None:
            return
        if told.type is EventType.CHILD_STARTED:
            self._note(told.type, told.key, at, told.data)
        else:
            self._come(Source.CHILD, told.type, told.key, at, told.data)

    def _signalled(self, event: HistoryEvent, facts: Any, at: float) -> None:
        if facts.signal_name.startswith(RESERVED):
            return
        data, identity = signal_of(facts.input.payloads)
        if identity is None:
            identity = to_json(f"{RESERVED}{self._history}.{event.event_id}", "a signal's identity")
        if identity not in self._signals:
            self._signals.add(identity)
            key = signal_key(facts.signal_name, from_json(identity))
            self._come(Source.SIGNAL, EventType.SIGNAL_RECEIVED, key, at, data)

    def _published(self, facts: Any, at: float) -> None:
        if PUBLISHED in facts.upserted_memo.fields:
            said = from_json(facts.upserted_memo.fields[PUBLISHED].data)
            self._note(EventType.PUBLISHED, said["key"], at, to_json(said["data"], "an event"))

    def _step_ended(self, kind: EventType, facts: Any, at: float) -> None:
        key, place = self._steps[facts.scheduled_event_id]
        key = step_key(key, self._attempts.get(facts.scheduled_event_id, 1))
        # The attempt that ended is the one that is taken over, so its start is told, not that of the first.
        self.entries[place] = replace(self.entries[place], key=key)
        data = b""
        if kind is EventType.STEP_COMPLETED:
            data = facts.result.payloads[0].data
        elif kind is EventType.STEP_FAILED:
            data = failure_in(facts.failure).model_dump_json().encode()
        self._come(Source.STEP, kind, key, at, data)

    def _come(self, place: int, kind: EventType, key: str, at: float, data: bytes = b"") -> None:
        self._coming.append((place, Entry(0, at, kind, key, data)))

    def _note(self, kind: EventType, key: str, at: float, data: bytes = b"") -> None:
        self.entries.append(Entry(0, at, kind, key, data))

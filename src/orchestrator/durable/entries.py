"""The entries of a run's history, the same on every engine: their keys, and what watchers see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from orchestrator.core.clock import utc
from orchestrator.core.redaction import NO_SECRETS_KNOWN
from orchestrator.durable.errors import Failure
from orchestrator.durable.runs import Event, EventType, Status, StepView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.core.redaction import Redactor
    from orchestrator.streams import Entry


def step_key(key: str, attempt: int) -> str:
    """The entry key of one attempt: ``2:fetch_page#1``."""
    return f"{key}#{attempt}"


def split_step_key(entry_key: str) -> tuple[str, int]:
    """``2:fetch_page`` and 1 again."""
    key, _, attempt = entry_key.rpartition("#")
    return key, int(attempt)


def signal_key(name: str, signal_id: str | None) -> str:
    """The entry key of a signal: its idempotency id, if any, and its name."""
    return f"{quote(signal_id or '', safe='')}:{name}"


def split_signal_key(entry_key: str) -> tuple[str, str]:
    """The idempotency id (empty if none) and the name again."""
    signal_id, _, name = entry_key.partition(":")
    return unquote(signal_id), name


STEP_EVENTS: Final = frozenset(
    {
        EventType.STEP_STARTED,
        EventType.STEP_PROGRESS,
        EventType.STEP_RETRYING,
        EventType.STEP_COMPLETED,
        EventType.STEP_FAILED,
        EventType.STEP_CANCELLED,
    }
)


_PREFIXES: Final[dict[EventType, str]] = {
    EventType.PUBLISHED: "publish ",
    EventType.CHILD_STARTED: "child ",
    EventType.CHILD_COMPLETED: "child ",
    EventType.CHILD_FAILED: "child ",
}


def event_of(entry: Entry, redactor: Redactor = NO_SECRETS_KNOWN) -> Event:
    """An entry of a run's stream as watchers see it: without secrets."""
    kind = EventType(entry.type)
    operation, name, attempt = "", "", 0
    if kind in STEP_EVENTS:
        key, attempt = split_step_key(entry.key)
        operation, _, name = key.partition(":")
    elif kind is EventType.SIGNAL_RECEIVED:
        _, name = split_signal_key(entry.key)
    else:
        operation, _, name = entry.key.partition(":")
        name = name.removeprefix(_PREFIXES.get(kind, ""))
    return Event(
        offset=entry.offset,
        type=kind,
        at=utc(entry.at),
        name=name,
        operation=operation,
        attempt=attempt,
        data=redactor.read(entry.data) if entry.data else None,
    )


_STEP_STATUS: Final[dict[EventType, Status]] = {
    EventType.STEP_STARTED: Status.RUNNING,
    EventType.STEP_RETRYING: Status.WAITING,
    EventType.STEP_COMPLETED: Status.COMPLETED,
    EventType.STEP_FAILED: Status.FAILED,
    EventType.STEP_CANCELLED: Status.CANCELLED,
}


def steps_of(events: Iterable[Event]) -> list[StepView]:
    """The steps that these events tell of, in the order of their first start."""
    started: dict[str, Event] = {}
    latest: dict[str, Event] = {}
    for event in events:
        if event.type in _STEP_STATUS:
            key = f"{event.operation}:{event.name}"
            started.setdefault(key, event)
            latest[key] = event
    return [_step_view(started[key], latest[key]) for key in started]


def _step_view(first: Event, last: Event) -> StepView:
    status = _STEP_STATUS[last.type]
    return StepView(
        operation=first.operation,
        name=first.name,
        status=status,
        attempt=last.attempt,
        started_at=first.at,
        closed_at=last.at if status.closed else None,
        result=last.data if status is Status.COMPLETED else None,
        failure=_failure_in(last),
    )


def _failure_in(event: Event) -> Failure | None:
    data: Any = event.data
    if event.type is EventType.STEP_FAILED:
        return Failure.model_validate(data)
    if event.type is EventType.STEP_RETRYING:
        return Failure.model_validate(data["failure"])
    return None

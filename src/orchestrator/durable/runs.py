"""Runs as the outside sees them: status, facts, steps, events."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pydantic import JsonValue

    from orchestrator.durable.errors import Failure


# Priorities go from 1, the first to be served, to 5.
NORMAL_PRIORITY: Final = 3
PRIORITIES: Final = range(1, 6)


class Status(StrEnum):
    """Where a run stands; one vocabulary from the engine to the API."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    STUCK = "stuck"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    TERMINATED = "terminated"

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self in CLOSED


CLOSED: Final = frozenset(
    {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT, Status.TERMINATED}
)


class EventType(StrEnum):
    """What can be read in a run's history."""

    RUN_STARTED = "run-started"
    RUN_FORKED = "run-forked"
    RUN_ADMITTED = "run-admitted"
    STEP_STARTED = "step-started"
    STEP_PROGRESS = "step-progress"
    STEP_RETRYING = "step-retrying"
    STEP_COMPLETED = "step-completed"
    STEP_FAILED = "step-failed"
    STEP_CANCELLED = "step-cancelled"
    CHILD_STARTED = "child-started"
    CHILD_COMPLETED = "child-completed"
    CHILD_FAILED = "child-failed"
    TIMER_FIRED = "timer-fired"
    SIGNAL_RECEIVED = "signal-received"
    CANCEL_REQUESTED = "cancel-requested"
    RUN_PAUSED = "run-paused"
    RUN_RESUMED = "run-resumed"
    PUBLISHED = "published"
    RUN_COMPLETED = "run-completed"
    RUN_FAILED = "run-failed"
    RUN_CANCELLED = "run-cancelled"
    RUN_TERMINATED = "run-terminated"


class SameInput(Enum):
    """What stands for the input of the run that is forked; any value may be another one."""

    SAME_INPUT = "the same input"


SAME_INPUT: Final = SameInput.SAME_INPUT
# The tag of a fork, with the id of the run that it is a fork of.
FORKED_FROM: Final = "forked_from"

LAST_EVENTS: Final = frozenset(
    {EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_CANCELLED, EventType.RUN_TERMINATED}
)


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a run's history. ``offset`` begins at 1, with gaps where dropped progress was.

    ``name`` is the step's, signal's or published event's name, ``operation`` the identity of the operation
    (``2``, or ``3.0/1`` for the first one in branch 0 of a gather), ``attempt`` counts from 1 for steps.
    ``data`` is the input, the progress, the result, or a failure; of a retry, the ``failure`` of the
    attempt and ``retry_at``, when the next one is due, in seconds since 1970.
    """

    offset: int
    type: EventType
    at: datetime
    name: str = ""
    operation: str = ""
    attempt: int = 0
    data: JsonValue = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a run. ``workflow`` is its type name, with its version where that is above 1.

    ``reason`` says why a run is stuck or pending, or how it failed. ``parent`` is the id of the run that it
    is a child of; empty if it is none, or if that one was deleted.
    """

    id: str
    workflow: str
    status: Status
    created_at: datetime
    closed_at: datetime | None = None
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of a run: where it stands, when, and what came of it (``result`` or ``failure``)."""

    operation: str
    name: str
    status: Status
    attempt: int
    started_at: datetime
    closed_at: datetime | None = None
    result: JsonValue = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded outcome: its event type, its operation's identity, when, and the data as written."""

    type: EventType
    key: str
    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a run may begin with: the seed and start of another one, and what it recorded, in its order."""

    seed: bytes
    began_at: float
    entries: tuple[Recorded, ...]


def check_priority(priority: int) -> int:
    """The priority itself, if it is one.

    Raises:
        InvalidInputError: it is not among the five.
    """
    if priority not in PRIORITIES:
        raise InvalidInputError(
            f"priority {priority!r}: give a number from {PRIORITIES[0]}, which is served first, to "
            f"{PRIORITIES[-1]}; {NORMAL_PRIORITY} is normal"
        )
    return priority


def check_force_after(seconds: float | None) -> None:
    """Refuse a ``force_after`` that is no time to wait; None is none at all.

    Raises:
        ValueError: it is negative or not finite.
    """
    if seconds is not None and not 0 <= seconds < math.inf:
        raise ValueError(f"cancel(force_after={seconds}): give seconds, 0 or more")


def key_of(operation: str, name: str) -> str:
    """The identity that a replay compares: ``2:fetch_page``."""
    return f"{operation}:{name}"


def identity_of(type_name: str, data: bytes, origin: bytes = b"") -> bytes:
    """What tells a workflow and its input from all others; for a fork, its origin too. Stored as a digest."""
    return f"{type_name}\0".encode() + data + origin

"""The document's event stream, made of what the runs of a session recorded.

A session has one run, and one more for each time that it was resumed after a failure. A later run begins with
what earlier ones completed; that is told once. An event's id is ``<run>-<offset>``, so a watcher's
Last-Event-ID finds its place also in a later run and after a restart of the service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from orchestrator.core.clock import rfc3339
from orchestrator.durable.errors import Failure
from orchestrator.durable.runs import LAST_EVENTS, Event, EventType
from orchestrator.features.lessons.lesson import PARTS, STEPS, Lesson, Outcome, Parts, Progress, Tokens
from orchestrator.features.lessons.schemas import SessionResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

_ID: Final = re.compile(r"(\d{1,9})-(\d{1,15})", re.ASCII)
UNFORESEEN = (
    "The lesson could not be finished because of an error on our side. Run the session again to go on."
)
STOPPED: Final = "The session was stopped before its lesson was complete."


class Position(NamedTuple):
    """Where an event stands: the number of the run, from 1, and its offset in it."""

    run: int
    offset: int

    def __str__(self) -> str:
        """As it stands in the event's ``id:`` field."""
        return f"{self.run}-{self.offset}"

    @classmethod
    def parse(cls, text: str | None) -> Position:
        """The position of a Last-Event-ID; the very beginning if it is none of ours."""
        match = _ID.fullmatch(text or "")
        return cls(int(match[1]), int(match[2])) if match else BEGINNING


BEGINNING: Final = Position(0, 0)


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One event as clients get it."""

    type: str
    session_id: str
    position: Position
    step_id: str | None = None
    data: Mapping[str, JsonValue] | None = None
    at: datetime | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """The document's shape; what is not there is left out."""
        shown: dict[str, JsonValue] = {"type": self.type, "session_id": self.session_id}
        if self.step_id is not None:
            shown["step_id"] = self.step_id
        if self.data is not None:
            shown["data"] = dict(self.data)
        if self.at is not None:
            shown["timestamp"] = rfc3339(self.at)
        return shown


def step_id(name: str) -> str:
    """``step-1`` for the first step."""
    return f"step-{STEPS.index(name) + 1}"


@dataclass(slots=True)
class _Part:
    """An operation of a step: a section of the content, one picture, or the step itself."""

    number: int
    attempt: int = 0
    said_something: bool = False
    begins_anew: bool = False

    def begin(self, attempt: int) -> None:
        """An attempt starts; what the one before said no longer holds."""
        self.attempt = attempt
        self.begins_anew = self.begins_anew or self.said_something
        self.said_something = False


@dataclass(slots=True)
class _Step:
    """What was told of a step so far."""

    parts: int = 1
    began_at: datetime | None = None
    by_operation: dict[str, _Part] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def part(self, operation: str) -> _Part:
        return self.by_operation.setdefault(operation, _Part(len(self.by_operation) + 1))

    @property
    def is_complete(self) -> bool:
        return len(self.outcomes) >= self.parts

    @property
    def in_order(self) -> list[Outcome]:
        """What came of its parts, in the order in which they began."""
        return [self.outcomes[operation] for operation in self.by_operation if operation in self.outcomes]

    def percent(self, of_part: int = 0) -> int:
        """How much of the step is done, given how much of the part at work is."""
        return (100 * len(self.outcomes) + of_part) // max(self.parts, 1)


class Story:
    """Tells the histories of a session's runs, given one after the other, as the document's events."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._steps = {name: _Step() for name in STEPS}
        self._took = timedelta()
        self._run = 0
        self._run_began_at: datetime | None = None
        self._offset = 0
        self._failed_step: str | None = None
        self.may_go_on = True
        """Whether those who see the session stop are told to run it again."""
        self._tellers: dict[EventType, Callable[[Position, Event, _Step], SessionEvent | None]] = {
            EventType.STEP_STARTED: self._started,
            EventType.STEP_PROGRESS: self._progress,
            EventType.STEP_RETRYING: self._retrying,
            EventType.STEP_COMPLETED: self._completed,
            EventType.STEP_FAILED: self._failed,
        }

    def connected(self, after: Position) -> SessionEvent:
        """What every connection begins with. Its id is where the client stands, so it moves nobody."""
        return SessionEvent("connected", self._session_id, after)

    def next_run(self, number: int, began_at: datetime) -> None:
        """What is told from now on is of this run of the session, which began at that time."""
        self._run = number
        self._run_began_at = began_at
        self._offset = 0
        self._failed_step = None
        for step in self._steps.values():
            if not step.is_complete:
                step.began_at = None  # it begins again in this run

    def tell(self, event: Event) -> SessionEvent | None:
        """The event that clients get for ``event``; None if it is not for them."""
        position = Position(self._run, event.offset)
        if event.offset > self._offset + 1:
            self._deltas_are_gone()
        self._offset = event.offset
        if event.type is EventType.PUBLISHED and event.name == PARTS:
            parts = Parts.model_validate(event.data)
            self._steps[parts.step].parts = parts.count
        if event.type in LAST_EVENTS:
            return self._end(position, event)
        step = self._steps.get(event.name)
        tell = self._tellers.get(event.type)
        if step is None or tell is None or event.operation in step.outcomes:
            return None
        return tell(position, event, step)

    def _deltas_are_gone(self) -> None:
        """Deltas are kept for a while only: who was told some takes them back, and gets the whole."""
        for step in self._steps.values():
            for operation, part in step.by_operation.items():
                if operation not in step.outcomes:
                    part.begins_anew = True
                    part.said_something = False

    def _started(self, position: Position, event: Event, step: _Step) -> SessionEvent | None:
        step.part(event.operation).begin(event.attempt)
        if step.began_at is not None:
            return None
        step.began_at = event.at
        return self._of_step(
            "step-start", position, event, {"step_name": event.name, "step_index": STEPS.index(event.name)}
        )

    def _progress(self, position: Position, event: Event, step: _Step) -> SessionEvent | None:
        shown = Progress.model_validate(event.data)
        part = step.part(event.operation)
        if event.attempt < part.attempt:
            return None  # its worker was given up, and goes on regardless
        if event.attempt > part.attempt:
            part.begin(event.attempt)
        return self._delta(position, event, step, shown.delta, step.percent(shown.progress))

    def _retrying(self, position: Position, event: Event, step: _Step) -> SessionEvent | None:
        """The next attempt begins by taking back what this one said."""
        part = step.part(event.operation)
        if event.attempt < part.attempt:
            return None
        part.begin(event.attempt + 1)
        part.begins_anew = True
        return self._delta(position, event, step, "", step.percent())

    def _delta(self, position: Position, event: Event, step: _Step, delta: str, percent: int) -> SessionEvent:
        part = step.part(event.operation)
        data: dict[str, JsonValue] = {"delta": delta, "progress": percent}
        if part.attempt > 1:
            data["attempt"] = part.attempt
        if part.begins_anew:
            data |= {"attempt": part.attempt, "reset": True}
        if step.parts > 1:
            data |= {"part": part.number, "parts": step.parts}
        part.begins_anew = False
        part.said_something = part.said_something or bool(delta)
        return self._of_step("step-delta", position, event, data)

    def _completed(self, position: Position, event: Event, step: _Step) -> SessionEvent:
        outcome = Outcome.model_validate(event.data)
        part = step.part(event.operation)
        step.outcomes[event.operation] = outcome
        if not step.is_complete:
            # A section's words were streamed, so a blank line parts it from the next.
            delta = "\n\n" if part.said_something else outcome.output
            return self._delta(position, event, step, delta, step.percent())
        took = event.at - (step.began_at or event.at)
        tokens = Tokens.total(done.tokens for done in step.in_order)
        data: dict[str, JsonValue] = {
            "step_name": event.name,
            "output": "\n".join(done.output for done in step.in_order),
            "duration": took // timedelta(milliseconds=1),
            "usage": tokens.model_dump(mode="json"),
        }
        return self._of_step("step-complete", position, event, data)

    def _failed(self, _position: Position, event: Event, _step: _Step) -> None:
        """The end of the run tells of it."""
        self._failed_step = event.name

    def _of_step(
        self, kind: str, position: Position, event: Event, data: Mapping[str, JsonValue]
    ) -> SessionEvent:
        return SessionEvent(kind, self._session_id, position, step_id(event.name), data, event.at)

    def _end(self, position: Position, event: Event) -> SessionEvent:
        self._took += event.at - (self._run_began_at or event.at)
        if event.type is EventType.RUN_COMPLETED:
            lesson = Lesson.model_validate(event.data)
            result = SessionResult.of(lesson, self._session_id, self._took, event.at)
            data: dict[str, JsonValue] = {"result": result.model_dump(mode="json")}
            return SessionEvent("final", self._session_id, position, None, data, event.at)
        step = self._failed_step if event.type is EventType.RUN_FAILED else None
        data = {
            "code": _code(event),
            "message": self._message(event),
            **({"step_name": step} if step else {}),
        }
        of_step = step_id(step) if step else None
        return SessionEvent("error", self._session_id, position, of_step, data, event.at)

    def _message(self, event: Event) -> str:
        if event.type is EventType.RUN_FAILED:
            return for_people(Failure.model_validate(event.data))
        return f"{STOPPED} Run it again to go on." if self.may_go_on else STOPPED


def for_people(failure: Failure) -> str:
    """What a failure says to the learner: our own errors speak for themselves, others may tell too much."""
    if failure.code == "error" and failure.type != "TimeoutError":
        return UNFORESEEN
    return failure.message


def _code(event: Event) -> str:
    if event.type is EventType.RUN_FAILED:
        return Failure.model_validate(event.data).code
    return event.type.replace("-", "_")

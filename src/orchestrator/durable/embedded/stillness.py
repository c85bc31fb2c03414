"""Why one run does not move: told by its row, its history, and its code where that is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic_core import from_json

from orchestrator.core.clock import rfc3339, utc
from orchestrator.durable.embedded.history import NEVER
from orchestrator.durable.entries import split_step_key
from orchestrator.durable.errors import Failure
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.runs import EventType, Status
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.durable.embedded.histories import Opener
    from orchestrator.durable.embedded.history import RunRow
    from orchestrator.durable.embedded.rehearsal import Rehearsal, Stage
    from orchestrator.durable.steps import StepDefinition
    from orchestrator.streams import Entry

# A failure's message is there in full in the run's own history.
LONGEST_MESSAGE_CHARS: Final = 200

_STEP_ENDED: Final = frozenset({EventType.STEP_COMPLETED, EventType.STEP_FAILED, EventType.STEP_CANCELLED})
_CHILD_ENDED: Final = frozenset({EventType.CHILD_COMPLETED, EventType.CHILD_FAILED})


class Why(StrEnum):
    """Why something does not move."""

    STUCK = "stuck"
    NO_WORKFLOW = "no-workflow"
    NO_SERVICE = "no-service"
    PAUSED = "paused"
    LIMIT = "limit"
    STEP = "step"
    RETRY = "retry"
    CHILD = "child"
    SIGNAL = "signal"
    OVERDUE = "overdue"
    WAITING = "waiting"


class Reason(NamedTuple):
    """Why, in one word and for people."""

    why: Why
    detail: str


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains runs of one journal.

    ``stage`` has the code, if it is at hand. What was due after ``before``, in seconds since 1970, may still
    come by itself. ``has_service`` says whether a process is at work on the journal.
    """

    opener: Opener
    stage: Stage | None
    before: float
    has_service: bool

    def has_code(self, workflow: str) -> bool:
        """Whether the code of that workflow is not known to be missing."""
        return self.stage is None or self.stage.has(workflow)

    def reasons(self, row: RunRow, entries: Sequence[Entry]) -> list[Reason]:
        """Why a run does not move; nothing if it will by itself."""
        if row.status == Status.STUCK:
            return [Reason(Why.STUCK, row.reason)]
        if row.status == Status.PENDING:
            return [Reason(Why.LIMIT, row.reason)]
        if self.stage is None:
            return self._known(row, entries, None)
        try:
            rehearsal = self.stage.rehearse(row, entries)
        except NotRegisteredError as error:
            return [Reason(Why.NO_WORKFLOW, error.message)]
        try:
            if rehearsal.error is not None:
                told = f"would be stuck with this code: {rehearsal.error.message}"
                return [Reason(Why.STUCK, told)]
            return self._known(row, entries, rehearsal)
        finally:
            rehearsal.drop()

    def _known(self, row: RunRow, entries: Sequence[Entry], rehearsal: Rehearsal | None) -> list[Reason]:
        reasons = []
        if row.status == Status.PAUSED:
            reasons.append(Reason(Why.PAUSED, "paused"))
        for key, entry in _under_way(entries).items():
            step = None if rehearsal is None else rehearsal.operations.steps.get(key)
            reasons.append(self._of_operation(row, key, entry, None if step is None else step.step))
        if rehearsal is not None:
            reasons += self._of_waits(rehearsal, is_all=not reasons)
        elif not reasons:
            reasons.append(Reason(Why.WAITING, "waits for a time or a signal; its code would tell which"))
        return reasons

    def _of_operation(self, row: RunRow, key: str, entry: Entry, definition: StepDefinition | None) -> Reason:
        if entry.type == EventType.CHILD_STARTED:
            data = self._data(row, entry)
            return Reason(Why.CHILD, f"waits for its child {key if data is None else from_json(data)}")
        _, attempt = split_step_key(entry.key)
        most = "" if definition is None else f" of {definition.retry.attempts}"
        if entry.type == EventType.STEP_RETRYING:
            return Reason(Why.RETRY, f"{key}: attempt {attempt + 1}{most} {self._after(row, entry)}")
        limit = f", which may take {definition.timeout_s:g} s" if definition and definition.timeout_s else ""
        runs = "runs" if self.has_service else "ran when the service ended,"
        return Reason(Why.STEP, f"{key}: attempt {attempt}{most} {runs} since {_moment(entry.at)}{limit}")

    def _after(self, row: RunRow, entry: Entry) -> str:
        data = self._data(row, entry)
        if data is None:
            return "is to come"
        told = from_json(data)
        failure = Failure.model_validate(told["failure"])
        message = failure.message[:LONGEST_MESSAGE_CHARS]
        return f"is due {_moment(told['retry_at'])} after {failure.type}: {message}"

    def _data(self, row: RunRow, entry: Entry) -> bytes | None:
        """What an entry holds, if it can be read."""
        try:
            return self.opener.data(row.number, entry)
        except UnreadableError:
            return None

    def _of_waits(self, rehearsal: Rehearsal, *, is_all: bool) -> list[Reason]:
        due = rehearsal.wakes_at
        if due <= self.before:
            return [Reason(Why.OVERDUE, f"was due {_moment(due)}")]
        if not is_all or due < NEVER:
            return []
        signals = ", ".join(repr(name) for name in rehearsal.mailbox.awaited)
        if signals:
            return [Reason(Why.SIGNAL, f"waits for the signal {signals}, with no deadline")]
        asked = ", ".join([*rehearsal.operations.steps, *rehearsal.operations.children])
        told = f"has not begun {asked}" if asked else "waits for nothing that could come"
        return [Reason(Why.WAITING, told)]


def _under_way(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The steps and children that were begun and have no outcome, each with what was recorded of it last."""
    found: dict[str, Entry] = {}
    for entry in entries:
        if entry.type == EventType.CHILD_STARTED:
            found[entry.key] = entry
        elif entry.type in _CHILD_ENDED:
            found.pop(entry.key, None)
        elif entry.type in {EventType.STEP_STARTED, EventType.STEP_RETRYING}:
            found[split_step_key(entry.key)[0]] = entry
        elif entry.type in _STEP_ENDED:
            found.pop(split_step_key(entry.key)[0], None)
    return found


def _moment(seconds: float) -> str:
    return rfc3339(utc(seconds).replace(microsecond=0))

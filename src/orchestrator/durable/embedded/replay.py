"""Bringing a run back: what was recorded is delivered to its code again, entry by entry.

A replay never guesses: what was recorded and the code does not ask for, or the opposite, makes the run stuck.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from pydantic_core import from_json

from orchestrator.durable.embedded.history import split_step_key
from orchestrator.durable.errors import MismatchError
from orchestrator.durable.runs import EventType
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.durable.embedded.execution import Execution
    from orchestrator.streams import Entry

T = TypeVar("T")

_NOTES = frozenset(
    {
        EventType.STEP_STARTED,
        EventType.STEP_RETRYING,
        EventType.STEP_PROGRESS,
        EventType.PUBLISHED,
        EventType.CHILD_STARTED,
        EventType.RUN_FORKED,
        EventType.RUN_ADMITTED,
        EventType.RUN_PAUSED,
        EventType.RUN_RESUMED,
    }
)
# What people may ask of a run that waits for its place.
_WISHES = frozenset({EventType.SIGNAL_RECEIVED, EventType.RUN_PAUSED, EventType.RUN_RESUMED})


class Replay:
    """One replay of one run; it lasts from the first recorded entry to the last."""

    def __init__(self, run: Execution, recorded: Iterable[Entry]) -> None:
        self._run = run
        self._recorded = list(recorded)
        self._published = {entry.key for entry in self._recorded if entry.type == EventType.PUBLISHED}
        self._said: set[str] = set()
        self._early = _before_admission(self._recorded)
        self.unsaid: dict[str, bytes] = {}

    @property
    def last_offset(self) -> int:
        """Of the last recorded entry."""
        return self._recorded[-1].offset

    @property
    def first_offset(self) -> int:
        """Of the first recorded entry."""
        return self._recorded[0].offset

    def deliver(self) -> None:
        """Deliver everything, in its order.

        Raises:
            MismatchError: the code asks for something else, or an entry cannot be read.
        """
        try:
            for entry in self._recorded:
                if not self._run.status.closed:
                    self._deliver(entry)
        except MismatchError:
            raise
        except UnreadableError as error:
            raise MismatchError(f"the history cannot be read: {error.message}") from error
        except Exception as error:  # a damaged row must not leave a run that nothing moves
            # What others say may quote the values, which are nobody's to read where they are encrypted.
            said = "" if self._run.hides else f": {error}"
            raise MismatchError(f"the history cannot be read: {type(error).__name__}{said}") from error

    def publish(self, key: str, data: bytes) -> None:
        """The code publishes: it was recorded, or the crash came before."""
        if key in self._published:
            self._said.add(key)
        else:
            self.unsaid[key] = data

    def _deliver(self, entry: Entry) -> None:
        kind = EventType(entry.type)
        run = self._run
        if kind in _NOTES:
            self._note(kind, entry)
            return
        if entry.offset not in self._early:
            self._check_said()
            run.reach(entry.at)
        match kind:
            case EventType.RUN_STARTED:
                run.reach(self._first_admission)
                run.begin(run.data(entry))
            case EventType.SIGNAL_RECEIVED:
                run.deliver_signal(entry.key, run.data(entry))
            case EventType.CANCEL_REQUESTED:
                run.deliver_cancel(run.data(entry))
            case EventType.TIMER_FIRED:
                if entry.key not in run.timers:
                    raise self._unexpected(entry.key)
                run.deliver_timer(entry.key)
            case EventType.CHILD_COMPLETED | EventType.CHILD_FAILED:
                run.deliver_child(self._expected(run.operations.children, entry.key), kind, run.data(entry))
            case _:
                key, attempt = split_step_key(entry.key)
                pending = self._expected(run.operations.steps, key)
                pending.attempt = attempt
                run.deliver_outcome(pending, kind, run.data(entry))

    def _check_said(self) -> None:
        """What one turn says is on the disk before whatever comes next, unless that came before the turn.

        Raises:
            MismatchError: it is not.
        """
        if self.unsaid:
            raise MismatchError(
                f"the code asks for {', '.join(self.unsaid)}, which the history does not have",
                came=list(self.unsaid),
            )

    @property
    def _first_admission(self) -> float:
        """When a run that waited for its place got it, if its code began only then; else 0."""
        for entry in islice(self._recorded, 1, None):
            if entry.type == EventType.RUN_ADMITTED:
                return entry.at
            if entry.offset not in self._early:
                break
        return 0.0

    def _note(self, kind: EventType, entry: Entry) -> None:
        """Take in what the code is not told."""
        match kind:
            case EventType.STEP_STARTED | EventType.STEP_RETRYING:
                self._remember_attempt(kind, entry)
            case EventType.PUBLISHED:
                if entry.key not in self._said:
                    raise self._unexpected(entry.key)
            case EventType.CHILD_STARTED:
                self._expected(self._run.operations.children, entry.key).begun = True
            case EventType.RUN_FORKED | EventType.RUN_ADMITTED:
                self._run.go_on_at(entry.at)
            case EventType.RUN_PAUSED:
                self._run.operations.paused = True
            case EventType.RUN_RESUMED:
                self._run.operations.paused = False

    def _remember_attempt(self, kind: EventType, entry: Entry) -> None:
        key, attempt = split_step_key(entry.key)
        pending = self._expected(self._run.operations.steps, key)
        is_retrying = kind is EventType.STEP_RETRYING
        pending.begun = is_retrying
        pending.attempt = attempt + 1
        pending.retry_at = from_json(self._run.data(entry))["retry_at"] if is_retrying else None

    def _expected(self, asked: dict[str, T], key: str) -> T:
        if key not in asked:
            raise self._unexpected(key)
        return asked[key]

    def _unexpected(self, key: str) -> MismatchError:
        run = self._run
        asks = sorted([*run.operations.steps, *run.operations.children, *run.timers.keys, *self.unsaid])
        return MismatchError(
            f"the history has operation {key}, but the code at this point asks for "
            f"{', '.join(asks) or 'nothing'}",
            expected=key,
            came=asks,
        )


def _before_admission(recorded: Iterable[Entry]) -> set[int]:
    """The offsets of what people asked of a run while it waited for its place, when no code of it ran.

    It is delivered to what the code does first, later than it is recorded.
    """
    early: set[int] = set()
    wishes: list[int] = []
    for entry in recorded:
        if entry.type in _WISHES:
            wishes.append(entry.offset)
            continue
        if entry.type == EventType.RUN_ADMITTED:
            early.update(wishes)
        wishes.clear()
    return early

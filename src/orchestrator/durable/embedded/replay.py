"""Bringing a run back: what was recorded is delivered to its code again, entry by entry.

A replay never guesses: what was recorded and the code does not ask for, or the opposite, makes the run stuck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic_core import from_json

from orchestrator.durable.entries import split_step_key
from orchestrator.durable.errors import MismatchError
from orchestrator.durable.retelling import NOTES, before_admission, first_admission, unexpected, unrecorded
from orchestrator.durable.runs import EventType
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.durable.embedded.execution import Execution
    from orchestrator.streams import Entry

T = TypeVar("T")


class Replay:
    """One replay of one run; it lasts from the first recorded entry to the last."""

    def __init__(self, run: Execution, recorded: Iterable[Entry]) -> None:
        self._run = run
        self._recorded = list(recorded)
        self._published = {entry.key for entry in self._recorded if entry.type == EventType.PUBLISHED}
        self._said: set[str] = set()
        self._early = before_admission(self._recorded)
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
        if kind in NOTES:
            self._note(kind, entry)
            return
        if entry.offset not in self._early:
            self._check_said()
            run.reach(entry.at)
        match kind:
            case EventType.RUN_STARTED:
                run.reach(first_admission(self._recorded))
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
            raise unrecorded(self.unsaid)

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
        return unexpected(
            key, [*run.operations.steps, *run.operations.children, *run.timers.keys, *self.unsaid]
        )

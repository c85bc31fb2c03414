"""What a run on Temporal begins with: outcomes, signals and times that another history has."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pydantic_core

from orchestrator.durable.entries import split_signal_key, split_step_key
from orchestrator.durable.prefix import entries_of
from orchestrator.durable.retelling import (
    NOTES,
    before_admission,
    first_admission,
    outcome_of,
    unexpected,
    unrecorded,
)
from orchestrator.durable.runs import EventType
from orchestrator.durable.temporal.beginnings import Letter
from orchestrator.durable.temporal.step_work import NEVER_TRIED, Tried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator.durable.runs import Prefix
    from orchestrator.durable.temporal.clock import RunClock
    from orchestrator.durable.temporal.mailbox import Mailbox
    from orchestrator.durable.temporal.timers import Timers
    from orchestrator.streams import Entry

# Temporal gives a run's code two seconds for one turn, and this takes a small part of them.
TOLD_IN_ONE_BREATH: Final = 2_000
_STEP_ENDS = frozenset({EventType.STEP_COMPLETED, EventType.STEP_FAILED, EventType.STEP_CANCELLED})
_CHILD_ENDS = frozenset({EventType.CHILD_COMPLETED, EventType.CHILD_FAILED})
_STEP_NOTES = frozenset({EventType.STEP_STARTED, EventType.STEP_RETRYING, EventType.STEP_PROGRESS})


@dataclass(frozen=True, slots=True)
class ToldOperation:
    """An operation that does not run, as its outcome is recorded."""

    outcome: asyncio.Future[bytes] = field(default_factory=asyncio.Future)
    ended: asyncio.Future[None] = field(default_factory=asyncio.Future)

    def cancel(self) -> asyncio.Future[None]:
        """Its end, which is recorded too."""
        return self.ended


def breaths(entries: Iterable[Entry]) -> int:
    """How many breaths it takes to tell a run's code so much."""
    return sum(entry.type not in NOTES for entry in entries) // TOLD_IN_ONE_BREATH


class TakenOver:
    """Tells a run's code what its prefix has, one entry whenever the code has come to rest."""

    def __init__(self, prefix: Prefix | None, clock: RunClock, timers: Timers, mailbox: Mailbox) -> None:
        self._clock = clock
        self._timers = timers
        self._mailbox = mailbox
        self.is_told = prefix is None
        self._told = 0
        self._entries: deque[Entry] = deque()
        self._asked: dict[str, ToldOperation | None] = {}
        self._said: set[str] = set()
        self._unsaid: dict[str, Callable[[], object]] = {}
        if prefix is not None:
            entries = entries_of(prefix)
            self._entries.extend(entries[1:])
            self._early = before_admission(entries)
            clock.is_live = False
            clock.reach(max(prefix.began_at, first_admission(entries)))
        self._ended = {_operation(entry) for entry in self._entries if entry.type in _STEP_ENDS | _CHILD_ENDS}
        self._tried = {
            _operation(entry): _tried(entry)
            for entry in self._entries
            if entry.type == EventType.STEP_RETRYING
        }
        self._published = {entry.key for entry in self._entries if entry.type == EventType.PUBLISHED}

    # What the code asks for.

    def ask(self, key: str) -> ToldOperation | None:
        """The step or child of that key, if its outcome is recorded; else it is to run."""
        if self.is_told:
            return None
        told = self._asked[key] = ToldOperation() if key in self._ended else None
        return told

    def tried(self, key: str) -> Tried:
        """What was tried of the step of that key, which is to go on."""
        return self._tried.get(key, NEVER_TRIED)

    def say(self, key: str, publish: Callable[[], object]) -> None:
        """Publish, unless it is recorded."""
        if self.is_told:
            publish()
        elif key in self._published:
            self._said.add(key)
        else:
            self._unsaid[key] = publish

    # What it is told.

    def has_more(self) -> bool:
        """Whether there is more to tell to code that is at rest.

        Raises:
            MismatchError: the code does not ask for what comes next, or for something that is not recorded.
        """
        for entry in self._entries:
            self._check(entry)
            if entry.type not in NOTES:
                break
        return not self.is_told

    def tell_next(self) -> None:
        """Tell what comes next; after the last entry, let the run go on by itself."""
        while self._entries:
            entry = self._entries.popleft()
            if entry.type not in NOTES:
                self._tell(entry)
                self._told += 1
                return
            if entry.type in {EventType.RUN_FORKED, EventType.RUN_ADMITTED}:
                self._go_on_at(entry.at)
        self._go_live()

    def give_up(self) -> None:
        """The run leaves memory before all is told: code that cleans up must not wait for the rest."""
        self.is_told = True
        for told in self._asked.values():
            if told is not None and not told.ended.done():
                told.ended.set_result(None)

    def needs_breath(self) -> bool:
        """Whether so much was told in one turn that the rest is for the next."""
        return not self.is_told and self._told > 0 and self._told % TOLD_IN_ONE_BREATH == 0

    def _check(self, entry: Entry) -> None:
        if entry.type not in NOTES and entry.offset not in self._early and self._unsaid:
            raise unrecorded(self._unsaid)
        match entry.type:
            case EventType.PUBLISHED:
                fits = entry.key in self._said
            case EventType.TIMER_FIRED:
                fits = entry.key in self._timers
            case kind if kind in _STEP_ENDS | _CHILD_ENDS | _STEP_NOTES | {EventType.CHILD_STARTED}:
                fits = _operation(entry) in self._asked
            case _:
                fits = True
        if not fits:
            raise unexpected(_operation(entry), [*self._asked, *self._timers.keys, *self._unsaid])

    def _tell(self, entry: Entry) -> None:
        if entry.offset not in self._early:
            self._clock.reach(entry.at)
        match entry.type:
            case EventType.TIMER_FIRED:
                self._timers.fire(entry.key)
            case EventType.SIGNAL_RECEIVED:
                self._mailbox.put(_letter(entry))
            case _:
                key = _operation(entry)
                told = self._asked.pop(key)
                if told is not None:
                    _settle(told, outcome_of(EventType(entry.type), key, entry.data))

    def _go_on_at(self, at: float) -> None:
        """After a pause that is nobody's, such as before a fork, waits keep what is left of them."""
        self._timers.put_off(max(at - self._clock.now(), 0.0))
        self._clock.reach(at)

    def _go_live(self) -> None:
        self.is_told = True
        self._clock.is_live = True
        self._timers.begin()
        for publish in self._unsaid.values():
            publish()
        self._asked.clear()
        self._unsaid.clear()


def _operation(entry: Entry) -> str:
    is_step = entry.type in _STEP_ENDS or entry.type in _STEP_NOTES
    return split_step_key(entry.key)[0] if is_step else entry.key


def _tried(entry: Entry) -> Tried:
    _, attempts = split_step_key(entry.key)
    return Tried(attempts, pydantic_core.from_json(entry.data)["retry_at"])


def _letter(entry: Entry) -> Letter:
    identity, name = split_signal_key(entry.key)
    # One that was sent without an identity is told apart from all others by its place.
    said = pydantic_core.to_json(identity or f"orchestrator:{entry.offset}")
    return Letter(name=name, identity=said.decode(), data=entry.data.decode())


def _settle(told: ToldOperation, outcome: bytes | Exception) -> None:
    told.ended.set_result(None)
    if told.outcome.done():
        return
    if isinstance(outcome, bytes):
        told.outcome.set_result(outcome)
    else:
        told.outcome.set_exception(outcome)
        # Read at once: nobody may await it, and that is no accident to report.
        told.outcome.exception()

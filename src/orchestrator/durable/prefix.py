"""What a run recorded up to some step, for another run to begin with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.core.errors import InvalidInputError
from orchestrator.durable.entries import STEP_EVENTS, event_of, split_step_key
from orchestrator.durable.runs import EventType, Prefix, Recorded, key_of
from orchestrator.streams import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.durable.runs import Event

# More of a run's steps than this make a message that nobody reads.
MOST_STEPS_NAMED = 30

_CHILD_EVENTS = frozenset({EventType.CHILD_STARTED, EventType.CHILD_COMPLETED, EventType.CHILD_FAILED})
_ENDS = frozenset(
    {
        EventType.STEP_COMPLETED,
        EventType.STEP_FAILED,
        EventType.STEP_CANCELLED,
        EventType.CHILD_COMPLETED,
        EventType.CHILD_FAILED,
    }
)
_SETBACKS = frozenset({EventType.STEP_FAILED, EventType.CHILD_FAILED, EventType.CANCEL_REQUESTED})
_OTHERS_TAKEN_OVER = frozenset(
    {
        EventType.TIMER_FIRED,
        EventType.SIGNAL_RECEIVED,
        EventType.PUBLISHED,
        EventType.RUN_FORKED,
        EventType.RUN_ADMITTED,
    }
)


def prefix_of(seed: bytes, entries: Sequence[Entry], until: str | None) -> Prefix:
    """What is recorded before the step ``until`` began: a step's name, for its first start, or an operation.

    A child counts as a step of its workflow's name. Without ``until`` it is what came before the first step
    that failed, or before a cancel.

    Raises:
        InvalidInputError: there is no such step, or it began only after the run was cancelled.
    """
    end = _first_setback(entries) if until is None else _first_of(entries, until)
    return Prefix(seed=seed, began_at=entries[0].at, entries=tuple(_outcomes(entries[:end])))


def prefix_of_fork(
    seed: bytes, entries: Sequence[Entry], from_step: str | None, now: float, origin: bytes
) -> Prefix:
    """The same for a fork that is made ``now``; its last entry tells its ``origin``.

    Raises:
        InvalidInputError: as in ``prefix_of``; or no step is given, and nothing failed or was cancelled.
    """
    if from_step is None and _first_setback(entries) == len(entries):
        raise InvalidInputError(
            "no step of the run failed and nobody cancelled it, so name the step to begin with "
            f"(from_step); its steps are {_named_steps(entries)}"
        )
    prefix = prefix_of(seed, entries, from_step)
    latest = max([prefix.began_at, now, *(entry.at for entry in prefix.entries)])
    return replace(prefix, entries=(*prefix.entries, Recorded(EventType.RUN_FORKED, "", latest, origin)))


def prefix_of_open(seed: bytes, entries: Sequence[Entry]) -> Prefix:
    """Everything that an open run recorded, for the same run to go on with elsewhere.

    Of a step that waits for its next attempt, the last one that failed is kept.
    """
    waiting = {split_step_key(entry.key)[0]: entry for entry in entries if entry.type in STEP_EVENTS}.values()
    kept = [
        *_outcomes(entries),
        *(_recorded(entry) for entry in waiting if entry.type == EventType.STEP_RETRYING),
    ]
    return Prefix(seed=seed, began_at=entries[0].at, entries=tuple(kept))


def _named_steps(entries: Sequence[Entry]) -> str:
    """A run's steps and children as ``until`` takes them, for people."""
    steps = list(dict.fromkeys(key_of(event.operation, event.name) for _, event in _steps(entries)))
    more = len(steps) - MOST_STEPS_NAMED
    told = ", ".join(steps[:MOST_STEPS_NAMED]) or "none yet"
    return f"{told} and {more:,} more" if more > 0 else told


def _first_setback(entries: Sequence[Entry]) -> int:
    return next((index for index, entry in enumerate(entries) if entry.type in _SETBACKS), len(entries))


def _first_of(entries: Sequence[Entry], until: str) -> int:
    for index, event in _steps(entries):
        if until in {event.name, event.operation, key_of(event.operation, event.name)}:
            if any(entry.type == EventType.CANCEL_REQUESTED for entry in entries[:index]):
                raise InvalidInputError(
                    f"step {until} began after the run was asked to stop, and a cancel is not repeated; "
                    "name a step that began before it"
                )
            return index
    raise InvalidInputError(f"the run has no step {until!r}; its steps are {_named_steps(entries)}")


def _steps(entries: Sequence[Entry]) -> Iterator[tuple[int, Event]]:
    """What is recorded of steps and children, with its place among the entries."""
    for index, entry in enumerate(entries):
        if entry.type in STEP_EVENTS or entry.type in _CHILD_EVENTS:
            yield index, event_of(entry)


def _outcomes(entries: Sequence[Entry]) -> list[Recorded]:
    """The outcomes among ``entries``, and the starts of the steps and children that have one."""
    ended = {entry.key for entry in entries if entry.type in _ENDS}
    return [
        _recorded(entry)
        for entry in entries
        if entry.type in _OTHERS_TAKEN_OVER or entry.key in ended
        if entry.type != EventType.STEP_PROGRESS
    ]


def entries_of(prefix: Prefix, data: bytes = b"") -> list[Entry]:
    """The history that a run has that begins with ``prefix`` on the input ``data``."""
    started = Entry(1, prefix.began_at, EventType.RUN_STARTED, "", data)
    taken_over = (
        Entry(offset, recorded.at, recorded.type, recorded.key, recorded.data)
        for offset, recorded in enumerate(prefix.entries, 2)
    )
    return [started, *taken_over]


def _recorded(entry: Entry) -> Recorded:
    return Recorded(EventType(entry.type), entry.key, entry.at, entry.data)

"""What holds on every engine where a run's code is told again what was recorded."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from orchestrator.durable.errors import ChildError, Failure, MismatchError, StepError
from orchestrator.durable.runs import EventType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.streams import Entry

# What the code is not told: it is compared with what the code asks for, or taken note of.
NOTES: Final = frozenset(
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
_WISHES: Final = frozenset({EventType.SIGNAL_RECEIVED, EventType.RUN_PAUSED, EventType.RUN_RESUMED})


def before_admission(recorded: Iterable[Entry]) -> set[int]:
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


def first_admission(recorded: Sequence[Entry]) -> float:
    """When a run that waited for its place got it, if its code began only then; else 0."""
    early = before_admission(recorded)
    for entry in islice(recorded, 1, None):
        if entry.type == EventType.RUN_ADMITTED:
            return entry.at
        if entry.offset not in early:
            break
    return 0.0


def unexpected(key: str, asks: Iterable[str]) -> MismatchError:
    """What is recorded is not what the code asks for."""
    came = sorted(asks)
    return MismatchError(
        f"the history has operation {key}, but the code at this point asks for "
        f"{', '.join(came) or 'nothing'}",
        expected=key,
        came=came,
    )


def unrecorded(keys: Iterable[str]) -> MismatchError:
    """The code did what had to be recorded, and is not."""
    came = list(keys)
    return MismatchError(f"the code asks for {', '.join(came)}, which the history does not have", came=came)


def outcome_of(kind: EventType, key: str, data: bytes) -> bytes | StepError:
    """What the code is told of the recorded end of a step or child: a result, or an error.

    One that was cancelled, and that the code did not give up, has failed.
    """
    match kind:
        case EventType.STEP_COMPLETED | EventType.CHILD_COMPLETED:
            return data
        case EventType.STEP_FAILED:
            return StepError.of(Failure.model_validate_json(data))
        case EventType.CHILD_FAILED:
            return ChildError.of(Failure.model_validate_json(data))
        case _:
            name = key.partition(":")[2]
            return StepError(type="CancelledError", code="cancelled", message=f"step {name} was cancelled")

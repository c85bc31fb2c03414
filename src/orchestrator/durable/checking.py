"""What a check of the open runs finds, before a deploy, on every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.durable.errors import MismatchError
    from orchestrator.durable.runs import Status

# Operations that are shown before the one that differs.
CONTEXT_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class RunCheck:
    """How one open run and the code get on.

    ``status`` is where the run stands. Where it does not fit, ``reason`` says why, and where an
    operation differs, ``expected`` is the recorded one and ``came`` what the code asks for; ``diff`` shows
    both after what they agree on, each line of it with a sign in front as in a unified diff.
    """

    run_id: str
    workflow: str
    status: Status
    fits: bool
    reason: str = ""
    expected: str = ""
    came: tuple[str, ...] = ()
    diff: tuple[str, ...] = ()


def diff(recorded: Sequence[str], asked: Sequence[str], error: MismatchError) -> list[str]:
    """What history and code agree on last, then the recorded operation and what the code asks for instead."""
    if not (error.expected or error.came):
        return []
    common = [operation for operation in asked if operation in set(recorded) - {error.expected}]
    lines = [f"  {operation}" for operation in common[-CONTEXT_LINES:]]
    if error.expected:
        lines.append(f"- {error.expected}")
    return lines + [f"+ {operation}" for operation in _instead(recorded, asked, error)]


def _instead(recorded: Sequence[str], asked: Sequence[str], error: MismatchError) -> list[str]:
    """What the code asks for in that place; else all that it asks for and the history does not have."""
    in_place = [operation for operation in asked if _place(operation) == _place(error.expected)]
    return in_place or [operation for operation in error.came if operation not in set(recorded)]


def _place(operation: str) -> str:
    return operation.partition(":")[0]

"""Sagas: what a run would undo, registered as it goes, and undone in reverse when it does not complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.durable.errors import FailedUndo, Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator.durable.steps import StepDefinition

# Undos number their own operations, so that they find their records however far the run had come.
UNDO_PATH = "undo/"


@dataclass(frozen=True, slots=True)
class Undo:
    """A step that takes something back, with its arguments as they were when it was registered."""

    step: StepDefinition
    arguments: bytes


class Compensations:
    """The undos that a run has registered and that have not begun."""

    def __init__(self) -> None:
        self._undos: list[Undo] = []
        self._begun = 0

    def __bool__(self) -> bool:
        return bool(self._undos)

    def add(self, step: StepDefinition, arguments: bytes) -> None:
        """Register an undo."""
        self._undos.append(Undo(step, arguments))

    async def run(self, perform: Callable[[str, Undo], Awaitable[object]]) -> list[FailedUndo]:
        """Have each performed at its place, the latest first, one after the other; give those that failed."""
        failed: list[FailedUndo] = []
        while self._undos:
            undo = self._undos.pop()
            self._begun += 1
            place = f"{UNDO_PATH}{self._begun}"
            try:
                await perform(place, undo)
            except Exception as error:  # noqa: BLE001  # the others are undone whatever this one met
                failed.append(FailedUndo(place, undo.step.name, Failure.of(error)))
        return failed

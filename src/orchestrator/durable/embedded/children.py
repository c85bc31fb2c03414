"""Child runs: begun by a parent, and their ends told to it.

A child is a run like any other whose row names its parent. In the commit of its end its parent is marked as
awake, so that a parent outside of memory hears of it whatever happens; the parent then records the outcome.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import InvalidInputError
from orchestrator.durable.embedded.history import (
    MARK_TOLD,
    RUN_STREAM,
    SEED_BYTES,
    SELECT_OPEN_CHILDREN,
    SELECT_ORPHANS,
    tags_text,
)
from orchestrator.durable.errors import Failure, MismatchError
from orchestrator.durable.runs import EventType, Status, identity_of
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.durable.embedded.execution import Execution
    from orchestrator.durable.embedded.history import RunRow
    from orchestrator.durable.embedded.open_runs import OpenRuns
    from orchestrator.durable.embedded.pending import PendingChild
    from orchestrator.durable.embedded.services import Services

ENDED_OTHERWISE: Final = {Status.CANCELLED: "cancelled", Status.TERMINATED: "terminated"}


class Children:
    """Starts and stops the children of all runs, and tells parents of their ends."""

    def __init__(self, services: Services, runs: OpenRuns) -> None:
        self._services = services
        self._runs = runs

    def start(self, child: PendingChild) -> None:
        """Begin a child, or find the one that was begun before a crash."""
        row = self._runs.find_row(child.child_id)
        if row is None:
            self._begin(child)
        elif not self._is_of(child, row):
            taken = (
                f"run {row.id!r} exists and is no child of run {child.run.run_id!r} with this workflow and "
                "input; give another id"
            )
            self._fail_soon(child, "ConflictError", "run_conflict", taken)
        elif row.closed_at is not None:
            child.ending = True
            self._services.journal.turns.add(self._deliver, child, row)

    def stop(self, child: PendingChild) -> None:
        """Cancel a child; where it was never begun, that is the end of it."""
        row = self._runs.find_row(child.child_id)
        if row is None or not self._is_of(child, row):
            self._fail_soon(child, "CancelledError", "cancelled", f"child {child.child_id} was not begun")
        else:
            self.start(child)
            self._services.journal.turns.add(self._runs.cancel, child.child_id)

    def ending(self, row: RunRow) -> None:
        """A run is about to be recorded as ended: have its parent stay awake until it is told."""
        parent = None if row.parent is None else self._runs.of_number(row.parent)
        if parent is not None:
            parent.child_ending(row.id)

    def ended(self, row: RunRow) -> None:
        """A run has ended, durably: tell its parent."""
        parent = None if row.parent is None else self._runs.of_number(row.parent)
        children = [] if parent is None else parent.operations.children_of(row.id)
        for child in children:
            self._deliver(child, self._runs.row(row.id))

    def leave(self, run: Execution) -> None:
        """Cancel the children that a run in memory has left open."""
        for child in run.operations.children.values():
            row = self._runs.find_row(child.child_id)
            if row is not None and self._is_of(child, row):
                self._services.journal.turns.add(self._runs.cancel, row.id)

    def leave_of(self, row: RunRow) -> None:
        """Cancel the children that a run outside of memory has left open."""
        self._cancel(self._services.journal.read(SELECT_OPEN_CHILDREN, (row.number,)))

    def cancel_orphans(self) -> None:
        """Cancel children whose parents ended with the last process."""
        self._cancel(self._services.journal.read(SELECT_ORPHANS))

    def _cancel(self, names: Iterable[tuple[str]]) -> None:
        for (name,) in names:
            self._services.journal.turns.add(self._runs.cancel, name.removeprefix(RUN_STREAM))

    def _begin(self, child: PendingChild) -> None:
        parent = child.run
        try:
            self._runs.begin(
                child.workflow,
                child.data,
                child.child_id,
                owner=parent.row.owner,
                tags=tags_text({}),
                # What follows from the parent's own is the same after a crash that loses this row.
                seed=hashlib.sha256(parent.row.seed + child.key.encode()).digest()[:SEED_BYTES],
                priority=parent.row.priority,
                parent=parent.row,
            )
        except InvalidInputError as error:  # a limit finds no key
            self._fail_soon(child, type(error).__name__, error.code, error.message)
        else:
            child.begun = True
            parent.child_started(child)

    def _deliver(self, child: PendingChild, row: RunRow) -> None:
        if self._tell(child, row):
            # In one commit with what the parent records, or a child that is gone would be begun again.
            self._services.journal.stage(MARK_TOLD, (row.number,))

    def _tell(self, child: PendingChild, row: RunRow) -> bool:
        status = Status(row.status)
        if status in ENDED_OTHERWISE:
            name = ENDED_OTHERWISE[status]
            told = f"child run {row.id} was {name}"
            return self._fail(child, f"Run{name.capitalize()}Error", f"run_{name}", told)
        kind = EventType.CHILD_COMPLETED if status is Status.COMPLETED else EventType.CHILD_FAILED
        try:
            data = self._services.histories.last(row.number)
        except UnreadableError as error:
            told = f"the outcome of child run {row.id} cannot be read: {error.message}"
            child.run.become_stuck(MismatchError(told))
            return False
        return child.run.child_ended(child, kind, data)

    def _fail_soon(self, child: PendingChild, type: str, code: str, message: str) -> None:
        child.ending = True
        self._services.journal.turns.add(self._fail, child, type, code, message)

    def _fail(self, child: PendingChild, type: str, code: str, message: str) -> bool:
        failure = Failure(type=type, code=code, message=message)
        return child.run.child_ended(child, EventType.CHILD_FAILED, failure.model_dump_json().encode())

    def _is_of(self, child: PendingChild, row: RunRow) -> bool:
        """Whether that is the run that was asked for: its own, or one of the same workflow and input."""
        if row.parent != child.run.row.number or child.begun:
            # What it began itself it keeps, however the code writes the input by now.
            return row.parent == child.run.row.number
        try:
            same_input = self._services.codec.fits(row.digest, identity_of(row.workflow, child.data))
        except UnreadableError:
            return True  # nor can its outcome be read, which is told then
        return same_input and row.workflow == child.workflow.type_name

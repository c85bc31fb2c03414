"""What a run asked for and has not been told the outcome of: steps and child runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.durable.retelling import outcome_of

if TYPE_CHECKING:
    import asyncio

    from orchestrator.durable.embedded.execution import Execution
    from orchestrator.durable.machine import Operation
    from orchestrator.durable.runs import EventType
    from orchestrator.durable.steps import StepDefinition
    from orchestrator.durable.workflows import Workflow


class PendingOperation:
    """An operation without its outcome.

    ``launched`` says that it was begun since the run is in memory, ``begun`` that it goes on though the run
    is paused: a child that is recorded, or a step whose next attempt is. ``ended`` is a future once the
    workflow gave it up.
    """

    __slots__ = ("begun", "ended", "key", "launched", "operation", "outcome", "run")

    def __init__(self, run: Execution, operation: Operation) -> None:
        self.run = run
        self.operation = operation
        self.key = operation.key
        self.outcome: asyncio.Future[bytes] = run.loop.create_future()
        self.ended: asyncio.Future[None] | None = None
        self.begun = False
        self.launched = False

    def cancel(self) -> asyncio.Future[None]:
        """Ask for its end; the future is done once it has ended, however it did."""
        if self.ended is None:
            self.run.machine.give_up(self)
            self.ended = self.run.loop.create_future()
        return self.ended

    def let_go(self) -> None:
        """Keep no code of the run waiting for it."""
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)

    def tell(self, outcome: bytes | BaseException) -> None:
        """Tell the workflow how it ended, unless the workflow gave it up."""
        if self.ended is not None:
            self.let_go()
        elif self.outcome.done():
            return
        elif isinstance(outcome, bytes):
            self.outcome.set_result(outcome)
        else:
            self.outcome.set_exception(outcome)


class PendingStep(PendingOperation):
    """A step. ``attempt`` is the one that runs, or comes next; ``retry_at`` is when that is due.

    ``in_doubt`` says that an earlier process may have begun it unrecorded, ``backs_off`` that it only waits
    for its next attempt to be due.
    """

    __slots__ = ("arguments", "attempt", "backs_off", "in_doubt", "retry_at", "step")

    def __init__(self, run: Execution, operation: Operation, step: StepDefinition, arguments: bytes) -> None:
        super().__init__(run, operation)
        self.step = step
        self.arguments = arguments
        self.attempt = 1
        self.retry_at: float | None = None
        self.in_doubt = False
        self.backs_off = False

    def deliver(self, kind: EventType, data: bytes) -> None:
        """Tell the workflow how it ended."""
        self.tell(outcome_of(kind, self.key, data))


class PendingChild(PendingOperation):
    """A child run of the id ``child_id``. ``ending`` says that its outcome is about to be recorded."""

    __slots__ = ("child_id", "data", "ending", "workflow")

    def __init__(
        self, run: Execution, operation: Operation, workflow: Workflow[Any, Any], data: bytes, child_id: str
    ) -> None:
        super().__init__(run, operation)
        self.workflow = workflow
        self.data = data
        self.child_id = child_id
        self.ending = False

    @property
    def goes_on(self) -> bool:
        """Whether it was begun, is still wanted, and will be heard of once it ends."""
        return self.launched and self.ended is None and not self.ending

    def deliver(self, kind: EventType, data: bytes) -> None:
        """Tell the workflow how it ended."""
        self.tell(outcome_of(kind, self.key, data))

"""A step that a run asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.durable.errors import Failure, StepError
from orchestrator.durable.runs import EventType

if TYPE_CHECKING:
    import asyncio

    from orchestrator.durable.embedded.execution import Execution
    from orchestrator.durable.machine import Operation
    from orchestrator.durable.steps import StepDefinition


class PendingStep:
    """A step whose outcome has not been delivered. ``attempt`` is the one that runs, or comes next.

    ``retry_at`` is when the next attempt is due, ``launched`` whether the runner has it, ``ended`` a future
    once the workflow gave it up. ``in_doubt`` says that an earlier process may have begun it unrecorded,
    ``backs_off`` that it only waits for its next attempt to be due.
    """

    __slots__ = (
        "arguments", "attempt", "backs_off", "ended", "in_doubt", "key", "launched", "operation", "outcome",
        "retry_at", "run", "step",
    )  # fmt: skip

    def __init__(self, run: Execution, operation: Operation, step: StepDefinition, arguments: bytes) -> None:
        self.run = run
        self.operation = operation
        self.key = operation.key
        self.step = step
        self.arguments = arguments
        self.outcome: asyncio.Future[bytes] = run.loop.create_future()
        self.ended: asyncio.Future[None] | None = None
        self.attempt = 1
        self.retry_at: float | None = None
        self.launched = False
        self.in_doubt = False
        self.backs_off = False

    def cancel(self) -> asyncio.Future[None]:
        """Ask for its end; the future is done once it has ended, however it did."""
        if self.ended is None:
            self.run.give_up(self)
            self.ended = self.run.loop.create_future()
        return self.ended

    def let_go(self) -> None:
        """Keep no code of the run waiting for it."""
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)

    def deliver(self, kind: EventType, data: bytes) -> None:
        """Tell the workflow how it ended. A cancelled outcome nobody gave up on is nobody's."""
        if self.ended is not None:
            self.let_go()
        elif self.outcome.done():
            return
        elif kind is EventType.STEP_COMPLETED:
            self.outcome.set_result(data)
        elif kind is EventType.STEP_FAILED:
            self.outcome.set_exception(StepError.of(Failure.model_validate_json(data)))
        else:
            self.outcome.set_exception(
                StepError(
                    type="CancelledError", code="cancelled", message=f"step {self.step.name} was cancelled"
                )
            )

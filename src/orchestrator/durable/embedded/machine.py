"""What a run's code may ask for, through its context and its loop."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.durable.context import next_place
from orchestrator.durable.embedded.pending import PendingChild, PendingStep
from orchestrator.durable.errors import DeterminismError, Evicted

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.embedded.execution import Execution
    from orchestrator.durable.embedded.pending import PendingOperation
    from orchestrator.durable.embedded.services import Services
    from orchestrator.durable.machine import Operation
    from orchestrator.durable.steps import StepDefinition
    from orchestrator.durable.workflows import Workflow

# How often code that leaves memory is told so before it is simply left.
MOST_EVICTIONS = 100


class EmbeddedMachine:
    """The `Machine` of one run's context, and the timekeeper of its loop.

    What is asked for begins after the turn, once its cause is durable.
    """

    def __init__(self, run: Execution, services: Services, workflow: Workflow[Any, Any]) -> None:
        self._run = run
        self._services = services
        self._workflow = workflow
        self._evictions = 0
        self.run_id = run.run_id
        self.workflow = workflow.type_name
        self.seed = run.row.seed
        self.most_payload_bytes = services.rules.most_bytes

    def now(self) -> float:
        """The time of the last thing delivered, never backwards."""
        return self._run.now

    def run(self, operation: Operation, step: StepDefinition, arguments: bytes) -> PendingStep:
        """Start a step, once its cause is durable."""
        self.check_step(step)
        pending = PendingStep(self._run, operation, step, arguments)
        self._run.operations.ask(pending)
        return pending

    def check_step(self, step: StepDefinition) -> None:
        """Refuse a step that the engine was not given."""
        self.stay_alive()
        self._services.registry.step(step.name)

    def child(
        self, operation: Operation, workflow: Workflow[Any, Any], data: bytes, id: str | None
    ) -> PendingChild:
        """Start a child run, once its cause is durable."""
        self.stay_alive()
        self._services.registry.workflow(workflow.type_name)
        pending = PendingChild(self._run, operation, workflow, data, id or self._child_id(operation))
        self._run.operations.ask(pending)
        return pending

    def encode_input(self, input: object) -> bytes:
        """Input for the run's own workflow as it is recorded."""
        return self._workflow.input.record(input, self.most_payload_bytes)

    def give_up(self, pending: PendingOperation) -> None:
        """The run's code no longer wants an operation: it is stopped after this turn."""
        self.stay_alive()
        self._run.operations.give_up(pending)

    def sleep(self, operation: Operation, seconds: float) -> asyncio.Future[None]:
        """A future that is done when the time has come."""
        self.stay_alive()
        future: asyncio.Future[None] = self._run.loop.create_future()
        self._alarm_for(future, operation.key, seconds, partial(_finish, future))
        return future

    def receive(self, operation: Operation, name: str, timeout: float | None) -> asyncio.Future[bytes]:
        """A future of the next signal of that name; a TimeoutError after ``timeout`` seconds."""
        self.stay_alive()
        future: asyncio.Future[bytes] = self._run.loop.create_future()
        self._run.mailbox.take(name, future)
        if timeout is not None and not future.done():
            late = TimeoutError(f"no signal {name!r} within {timeout:g} seconds")
            self._alarm_for(future, operation.key, timeout, partial(_fail, future, late))
        return future

    def publish(self, operation: Operation, name: str, data: bytes) -> None:  # noqa: ARG002  # the key has the name
        """Add an event for watchers, unless it was recorded before."""
        self.stay_alive()
        self._run.publish(operation.key, data)

    def arm(self, timer: asyncio.TimerHandle) -> None:
        """A timer of plain asyncio, such as that of ``asyncio.timeout``: an operation like any other."""
        self.stay_alive()
        self._run.timers.watch(f"{next_place()}:timer", timer)

    def disarm(self, timer: asyncio.TimerHandle) -> None:
        """Forget a timer."""
        self._run.timers.forget(timer)

    def _alarm_for(
        self, future: asyncio.Future[Any], key: str, seconds: float, ring: Callable[[], None]
    ) -> None:
        timer = asyncio.TimerHandle(self._run.now + seconds, ring, (), self._run.loop)
        self._run.timers.watch(key, timer)
        future.add_done_callback(lambda _: timer.cancel())

    def _child_id(self, operation: Operation) -> str:
        """The id of a child that was given none; no other life of an endless workflow gives the same."""
        life = "" if self._run.began == 1 else f"{self._run.began}."
        return f"{self.run_id}.{life}{operation.place.replace('/', '-')}"

    def stay_alive(self) -> None:
        """Raise Evicted where the run has left memory.

        Code that catches even that, and asks again, is left waiting for ever after a while.
        """
        if not self._run.inert:
            if not self._run.loop.turning:
                raise DeterminismError("a context serves its workflow's own code alone, not its steps")
        elif self._evictions < MOST_EVICTIONS:
            self._evictions += 1
            raise Evicted


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)

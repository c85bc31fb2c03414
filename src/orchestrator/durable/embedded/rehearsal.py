"""Rehearsing: a run's history is delivered to code, to see whether it fits; nothing else happens.

No step begins, no row is written, no time passes. What a rehearsal leaves is known of it afterwards: which
operations the code asked for, and for what it waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from orchestrator.core.clock import SystemClock
from orchestrator.durable.embedded.execution import Execution
from orchestrator.durable.embedded.loop import RunLoop
from orchestrator.durable.embedded.machine import EmbeddedMachine
from orchestrator.durable.embedded.replay import Replay
from orchestrator.durable.embedded.services import Services
from orchestrator.durable.embedded.timers import Alarms
from orchestrator.durable.errors import ContinueAs, DeterminismError, Misfit, MismatchError
from orchestrator.durable.payloads import USUAL_RULES, PayloadRules
from orchestrator.durable.registry import NotRegisteredError, Registry
from orchestrator.durable.runs import Status

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from orchestrator.durable.embedded.histories import Histories, Opener
    from orchestrator.durable.embedded.history import RunRow
    from orchestrator.durable.embedded.open_runs import OpenRuns
    from orchestrator.durable.embedded.pending import PendingChild, PendingStep
    from orchestrator.durable.machine import Operation
    from orchestrator.durable.steps import StepDefinition
    from orchestrator.durable.workflows import Workflow
    from orchestrator.streams import Entry

T = TypeVar("T")


@dataclass(slots=True)
class Stage:
    """The code at hand. Without ``steps``, whatever step a workflow asks for counts as given."""

    workflows: Iterable[Workflow[Any, Any]]
    steps: Iterable[object] | None
    opener: Opener
    rules: PayloadRules = USUAL_RULES
    services: Services = field(init=False)

    def __post_init__(self) -> None:
        """Look at the code.

        Raises:
            TypeError, ValueError: as an engine that is given it.
        """
        registry = Registry()
        registry.add(self.workflows, self.steps or ())
        clock = SystemClock()
        # A rehearsal overrides all that would come to use the parts that are not there.
        self.services = Services(
            loop=cast("Any", None),
            journal=cast("Any", None),
            streams=cast("Any", None),
            histories=cast("Histories", self.opener),
            codec=cast("Any", None),
            rules=self.rules,
            clock=clock,
            alarms=Alarms(clock),
            registry=registry,
            runner=cast("Any", None),
        )

    def has(self, workflow: str) -> bool:
        """Whether the workflow of that type name is there."""
        try:
            self.services.registry.workflow(workflow)
        except NotRegisteredError:
            return False
        return True

    def rehearse(self, row: RunRow, entries: Sequence[Entry]) -> Rehearsal:
        """The run on this code, as far as its history goes.

        Raises:
            NotRegisteredError: its workflow is not there.
        """
        rehearsal = Rehearsal(self, row, self.services.registry.workflow(row.workflow))
        rehearsal.rehearse(entries)
        return rehearsal


class Rehearsal(Execution):
    """A run on stage. ``error`` says why it does not fit; ``asked`` are the operations asked for so far."""

    def __init__(self, stage: Stage, row: RunRow, workflow: Workflow[Any, Any]) -> None:
        super().__init__(stage.services, cast("OpenRuns", None), row, workflow)
        self._noted = self.machine = NotingMachine(self, stage, workflow)
        self.loop = RunLoop(self.machine)  # type: ignore[abstract]  # what it leaves out is I/O
        self.error: MismatchError | None = None

    @property
    def asked(self) -> Sequence[str]:
        """The operations that the code asked for, in their order."""
        return self._noted.asked

    def rehearse(self, entries: Sequence[Entry]) -> None:
        """Deliver what was recorded, and see what comes of it."""
        self._replay = replay = Replay(self, entries)
        self.offset, self.began = replay.last_offset, replay.first_offset
        try:
            replay.deliver()
            # What no code has gone through before may end as it likes.
            if self.row.status != Status.PENDING and len(entries) > 1:
                self._look_ahead()
        except MismatchError as error:
            self.error = error
        if self._noted.missing is not None:
            self.error = MismatchError(self._noted.missing.message)

    def drop(self) -> None:
        """Unwind the code."""
        self.inert = True
        for pending in (*self.operations.steps.values(), *self.operations.children.values()):
            pending.let_go()
        self.loop.drop()

    def _turn(self) -> None:
        try:
            self.loop.turn()
        except DeterminismError as error:
            raise MismatchError(error.message) from error

    def _look_ahead(self) -> None:
        """See what code does that has ended: the code that recorded this had gone on."""
        root = self._root
        if root is None or not root.done() or (root.cancelled() and self._cancel_requested):
            return
        try:
            root.result()
        except ContinueAs:
            return
        except Misfit as error:
            raise MismatchError(f"a recorded result does not fit the code: {error}") from error
        except BaseException as error:
            said = type(error).__name__ if self.hides else f"{type(error).__name__}: {error}"
            raise MismatchError(f"the run would fail at once: {said}") from error


class NotingMachine(EmbeddedMachine):
    """Notes what code asks for, and what of that is not there."""

    def __init__(self, run: Rehearsal, stage: Stage, workflow: Workflow[Any, Any]) -> None:
        super().__init__(run, stage.services, workflow)
        self._any_step = stage.steps is None
        self.asked: list[str] = []
        self.missing: NotRegisteredError | None = None

    def run(self, operation: Operation, step: StepDefinition, arguments: bytes) -> PendingStep:
        """Note a step."""
        self.asked.append(operation.key)
        return super().run(operation, step, arguments)

    def check_step(self, step: StepDefinition) -> None:
        """Refuse a step that the code at hand lacks."""
        if self._any_step:
            self.stay_alive()
        else:
            self._noting(lambda: super(NotingMachine, self).check_step(step))

    def child(
        self, operation: Operation, workflow: Workflow[Any, Any], data: bytes, id: str | None
    ) -> PendingChild:
        """Note a child run."""
        self.asked.append(operation.key)
        return self._noting(lambda: super(NotingMachine, self).child(operation, workflow, data, id))

    def sleep(self, operation: Operation, seconds: float) -> asyncio.Future[None]:
        """Note a wait."""
        self.asked.append(operation.key)
        return super().sleep(operation, seconds)

    def receive(self, operation: Operation, name: str, timeout: float | None) -> asyncio.Future[bytes]:
        """Note a wait for a signal."""
        self.asked.append(operation.key)
        return super().receive(operation, name, timeout)

    def publish(self, operation: Operation, name: str, data: bytes) -> None:
        """Note an event."""
        self.asked.append(operation.key)
        super().publish(operation, name, data)

    def _noting(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except NotRegisteredError as error:
            self.missing = self.missing or error
            raise

"""What a run has asked for and has no outcome of: steps and child runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orchestrator.durable.embedded.pending import PendingChild, PendingStep
from orchestrator.durable.runs import EventType

if TYPE_CHECKING:
    from orchestrator.durable.embedded.execution import Execution
    from orchestrator.durable.embedded.open_runs import OpenRuns
    from orchestrator.durable.embedded.pending import PendingOperation
    from orchestrator.durable.embedded.services import Services


class Operations:
    """The pending operations of one run. They begin and stop after a turn of its code, never during it."""

    __slots__ = ("_asked", "_given_up", "_run", "_runs", "_services", "children", "paused", "steps")

    def __init__(self, run: Execution, services: Services, runs: OpenRuns) -> None:
        self._run = run
        self._services = services
        self._runs = runs
        self.steps: dict[str, PendingStep] = {}
        self.children: dict[str, PendingChild] = {}
        self.paused = False
        self._asked: list[PendingStep | PendingChild] = []
        self._given_up: list[PendingOperation] = []

    def ask(self, pending: PendingStep | PendingChild) -> None:
        """The code wants it."""
        if isinstance(pending, PendingStep):
            self.steps[pending.key] = pending
        else:
            self.children[pending.key] = pending
        self._asked.append(pending)

    def give_up(self, pending: PendingOperation) -> None:
        """The code does not want it any more."""
        self._given_up.append(pending)

    def after_turn(self) -> None:
        """Begin what was asked for, unless the run is paused, and stop what was given up."""
        asked, self._asked = self._asked, []
        for pending in asked:
            if self._is_held(pending):
                self._asked.append(pending)
            else:
                self._run.when_durable(partial(self._launch, pending))
        given_up, self._given_up = self._given_up, []
        for unwanted in given_up:
            self._stop(unwanted)

    def wants(self, step: PendingStep) -> bool:
        """Whether the outcome of that step still matters."""
        return not self._run.inert and self.steps.get(step.key) is step

    def wants_child(self, child: PendingChild) -> bool:
        """Whether the outcome of that child still matters."""
        return not self._run.inert and self.children.get(child.key) is child

    def children_of(self, child_id: str) -> list[PendingChild]:
        """What was asked for as the run of that id, more than once perhaps, and is still wanted."""
        return [child for child in self.children.values() if child.child_id == child_id]

    def let_go(self) -> None:
        """The run leaves memory: stop what runs in this process, and keep no code waiting for it."""
        for step in self.steps.values():
            self._services.runner.cancel(step)
            step.let_go()
        for child in self.children.values():
            child.let_go()

    @property
    def wait(self) -> bool:
        """Whether none of them needs the run to be in memory."""
        return all(step.backs_off or self._is_held(step) for step in self.steps.values()) and all(
            child.goes_on or self._is_held(child) for child in self.children.values()
        )

    @property
    def back_off(self) -> bool:
        """Whether no step runs: there is none, or they all wait for their next attempt."""
        return all(step.backs_off for step in self.steps.values())

    @property
    def retries(self) -> list[float]:
        """When next attempts are due, in seconds since 1970."""
        return [step.retry_at for step in self.steps.values() if step.backs_off and step.retry_at is not None]

    def _launch(self, pending: PendingStep | PendingChild) -> None:
        if pending.ended is not None or not self._is_wanted(pending):
            return
        pending.launched = True
        if isinstance(pending, PendingChild):
            self._runs.children.start(pending)
        else:
            self._services.runner.launch(pending)
        if isinstance(pending, PendingChild) or pending.backs_off:
            self._run.rests()

    def _is_wanted(self, pending: PendingStep | PendingChild) -> bool:
        return self.wants_child(pending) if isinstance(pending, PendingChild) else self.wants(pending)

    def _stop(self, pending: PendingOperation) -> None:
        if isinstance(pending, PendingChild):
            self._run.when_durable(partial(self._runs.children.stop, pending))
        elif isinstance(pending, PendingStep):
            if pending.launched:
                self._services.runner.cancel(pending)
            else:
                turns = self._services.journal.turns
                turns.add(self._run.step_ended, pending, EventType.STEP_CANCELLED, b"")

    def _is_held(self, pending: PendingStep | PendingChild) -> bool:
        return self.paused and not pending.begun and not pending.launched and pending.ended is None

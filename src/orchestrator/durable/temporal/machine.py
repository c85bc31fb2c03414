"""What a run's code asks for, in terms of Temporal's workflow API."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from temporalio import workflow as temporal

from orchestrator.durable.errors import MismatchError
from orchestrator.durable.payloads import to_json
from orchestrator.durable.temporal.asked import Asked
from orchestrator.durable.temporal.beginnings import PLAIN_BEGINNING, arguments, life_of
from orchestrator.durable.temporal.children import Child
from orchestrator.durable.temporal.clock import RunClock
from orchestrator.durable.temporal.deliveries import Source
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.step_work import StepWork
from orchestrator.durable.temporal.taken_over import TakenOver
from orchestrator.durable.temporal.task_room import TaskRoom
from orchestrator.durable.temporal.timers import Timers, keep_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.machine import Operation, Pending
    from orchestrator.durable.steps import StepDefinition
    from orchestrator.durable.temporal.asked import Work
    from orchestrator.durable.temporal.life import Life
    from orchestrator.durable.temporal.terms import Terms
    from orchestrator.durable.workflows import Workflow

# The memo entry whose changes, each an event of the history, are what a run publishes: {"key", "data"}.
PUBLISHED = "orchestrator:published"


class TemporalMachine:
    """The `Machine` of one run, in terms of Temporal's workflow API."""

    def __init__(self, workflow: Workflow[Any, Any], life: Life, terms: Terms) -> None:
        info = temporal.info()
        self.run_id = info.workflow_id
        self.workflow = workflow.type_name
        self.seed = life.beginning.seed(info.first_execution_run_id)
        self._definition = workflow
        self._number = life.beginning.life
        self._life = life_of(self.run_id, life.beginning.life)
        self.most_payload_bytes = terms.rules.most_bytes
        self._redactor = terms.rules.redactor
        self._room = TaskRoom(has_store=terms.has_store)
        self._pausing = life.pausing
        self._admission = life.admission
        self._mailbox = life.mailbox
        self._deliveries = life.deliveries
        self._loop = asyncio.get_running_loop()
        self._clock = RunClock()
        self._timers = Timers(life.deliveries, self._clock)
        self._taken_over = TakenOver(life.beginning.taken_over, self._clock, self._timers, life.mailbox)
        self._children: set[str] = set()
        self._moved = life.beginning.children
        self._asked: dict[str, Asked] = {}
        self._mismatch: MismatchError | None = None
        self.asks: tuple[str, ...] = ()
        life.deliveries.begin_with(self._taken_over)
        keep_time(self._loop, self._timers, self._clock)

    def now(self) -> float:
        """The time of the last thing delivered, in seconds since 1970; never backwards."""
        return self._clock.now()

    def run(self, operation: Operation, step: StepDefinition, arguments: bytes) -> Pending:
        """Schedule an activity named like the step, with the operation's identity as its id."""
        self.stay_alive()
        admitted = self._room.admit(carried(arguments), f"the arguments of {step.name}")
        tried = self._taken_over.tried(operation.key)
        return self._ask(operation, Source.STEP, StepWork(operation, step, admitted, self._life, tried))

    def child(
        self, operation: Operation, workflow: Workflow[Any, Any], data: bytes, id: str | None
    ) -> Pending:
        """Begin a child workflow, or follow it if the run asked for it before."""
        self.stay_alive()
        child_id = id or self._child_id(operation)
        moved = self._moved.get(child_id)
        data = data if moved is None else moved.data.encode()
        beginning = PLAIN_BEGINNING if moved is None else moved.beginning
        beginning = beginning.model_copy(update={"held": self._admission.places})
        given = [
            self._room.admit(value, f"the input of {workflow.name}") for value in arguments(data, beginning)
        ]
        child = Child(
            operation,
            workflow,
            data,
            given,
            child_id,
            is_known=child_id in self._children,
            is_paused=beginning.is_paused,
        )
        self._children.add(child_id)
        return self._ask(operation, Source.CHILD, child)

    def encode_input(self, input: object) -> bytes:
        """Input for the run's own workflow as it is recorded."""
        return self._definition.input.record(input, self.most_payload_bytes)

    def check_step(self, step: StepDefinition) -> None:
        """Any worker of the task queue may have it, so this one cannot tell."""

    def sleep(self, operation: Operation, seconds: float) -> asyncio.Future[None]:
        """Start a timer."""
        self.stay_alive()
        awake: asyncio.Future[None] = self._loop.create_future()
        self._ring(operation, seconds, awake, partial(_wake, awake))
        return awake

    def receive(self, operation: Operation, name: str, timeout: float | None) -> asyncio.Future[bytes]:
        """Take the next signal of that name."""
        self.stay_alive()
        reader: asyncio.Future[bytes] = self._loop.create_future()
        self._mailbox.take(name, reader)
        if timeout is not None and not reader.done():
            self._ring(operation, timeout, reader, partial(_expire, reader, name, timeout))
        return reader

    def publish(self, operation: Operation, name: str, data: bytes) -> None:
        """Write the event into the memo, as part of the workflow task that asks for it."""
        self.stay_alive()
        shown = self._redactor.json(data)
        entry = b'{"key":%b,"data":%b}' % (to_json(operation.key, "the event's key"), shown)
        memo = {PUBLISHED: self._room.admit(carried(entry), f"the event {name}")}
        self._taken_over.say(operation.key, lambda: temporal.upsert_memo(memo))

    def watch(self) -> None:
        """Note what the code asks for whenever it has come to rest, in ``asks``."""
        self._deliveries.at_rest = self._note_asks

    @property
    def mismatch(self) -> MismatchError | None:
        """Why the code does not fit what was recorded, as far as that shows here."""
        return self._mismatch or self._deliveries.mismatch

    def misfit(self, message: str) -> MismatchError:
        """What fails the workflow task alone, as the right code may come yet."""
        self._mismatch = MismatchError(message)
        return self._mismatch

    def stay_alive(self) -> None:
        """End code that Python throws away, as such code ends.

        A worker that stops leaves its runs to the garbage collector, which may close their code in the midst
        of another run, which would then do what their cleanup asks for.
        """
        if asyncio._get_running_loop() is not self._loop:  # noqa: SLF001  # there may be none
            raise GeneratorExit

    def _note_asks(self) -> None:
        self.asks = (*self._asked, *self._timers.keys)

    def _child_id(self, operation: Operation) -> str:
        """The id of a child that was given none; no other life of an endless workflow gives the same."""
        life = "" if self._number == 1 else f"{self._number}."
        return f"{self.run_id}.{life}{operation.place.replace('/', '-')}"

    def _ask(self, operation: Operation, source: Source, work: Work) -> Pending:
        told = self._taken_over.ask(operation.key)
        if told is not None:
            return told
        asked = Asked(work, partial(self._deliveries.add, source))
        self._asked[operation.key] = asked
        asked.outcome.add_done_callback(lambda _: self._asked.pop(operation.key, None))
        self._pausing.begin(asked)
        return asked

    def _ring(
        self, operation: Operation, seconds: float, until: asyncio.Future[Any], ring: Callable[[], None]
    ) -> None:
        """Deliver ``ring`` after so long, unless ``until`` is done by then; the history names it."""
        self._timers.set(operation.key, self.now() + seconds, ring)
        until.add_done_callback(lambda _: self._timers.call_off(operation.key))


def _wake(awake: asyncio.Future[None]) -> None:
    if not awake.done():
        awake.set_result(None)


def _expire(reader: asyncio.Future[bytes], name: str, timeout_s: float) -> None:
    if not reader.done():
        reader.set_exception(TimeoutError(f"no signal {name!r} within {timeout_s:g} seconds"))

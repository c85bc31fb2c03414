"""One run in memory: its code on its own loop, and what it waits for.

Whatever happens to a run is first a row of its history, then delivered to its code, which then turns until it
waits for everything. Replay delivers the same rows again, one by one, so it leads to the same place. The code
may run ahead of the disk; what it asks for starts only when its cause is durable.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import from_json

from orchestrator.core.clock import utc
from orchestrator.durable.context import Context, next_place
from orchestrator.durable.embedded.history import (
    SET_ENDED,
    SET_OPEN_STATUS,
    signal_key,
    split_signal_key,
    split_step_key,
    step_key,
)
from orchestrator.durable.embedded.loop import RunLoop
from orchestrator.durable.embedded.pending import PendingStep
from orchestrator.durable.errors import DeterminismError, Evicted, Failure, Misfit, MismatchError
from orchestrator.durable.payloads import PayloadError
from orchestrator.durable.runs import EventType, RunInfo, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from orchestrator.durable.embedded.services import Services
    from orchestrator.durable.embedded.timers import Alarm
    from orchestrator.durable.machine import Operation
    from orchestrator.durable.steps import StepDefinition
    from orchestrator.durable.workflows import Workflow
    from orchestrator.journal import Group
    from orchestrator.streams import Entry

T = TypeVar("T")

# How often code that leaves memory is told so before it is simply left.
MOST_EVICTIONS = 100

_CLOSING_EVENT = {
    Status.COMPLETED: EventType.RUN_COMPLETED,
    Status.FAILED: EventType.RUN_FAILED,
    Status.CANCELLED: EventType.RUN_CANCELLED,
    Status.TERMINATED: EventType.RUN_TERMINATED,
}


class Execution:
    """One run in memory. It is the `Machine` of its context."""

    def __init__(  # a run's own facts, one each
        self,
        services: Services,
        *,
        number: int,
        run_id: str,
        workflow: Workflow[Any, Any],
        seed: bytes,
        now: float,
    ) -> None:
        self._services = services
        self._workflow = workflow
        self.number = number
        self.run_id = run_id
        self.workflow = workflow.type_name
        self.seed = seed
        self.status = Status.RUNNING
        self.reason = ""
        self.result = b""
        self.waiters: list[asyncio.Future[None]] = []
        self.digest = b""
        self.loop = RunLoop(self)  # type: ignore[abstract]  # what it leaves out is I/O
        self.offset = 0
        self.cause: Group | None = None
        self.created_at = now
        self._now = 0.0
        self._root: asyncio.Task[Any] | None = None
        self._cancel_requested = False
        self._replaying = False
        self._inert = False
        self._steps: dict[str, PendingStep] = {}
        self._asked: list[PendingStep] = []
        self._given_up: list[PendingStep] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._timer_keys: dict[int, str] = {}
        self._unset: list[str] = []
        self._alarms: dict[str, Alarm] = {}
        self._mailbox: dict[str, deque[bytes]] = {}
        self._receivers: dict[str, deque[asyncio.Future[bytes]]] = {}
        self._signal_ids: set[str] = set()
        self._published: set[str] = set()
        self._said: set[str] = set()
        self._unsaid: dict[str, bytes] = {}
        self._evictions = 0

    # What the run's code asks for, through its context and its loop.

    def now(self) -> float:
        """The time of the last thing delivered, never backwards."""
        return self._now

    def run(self, operation: Operation, step: StepDefinition, arguments: bytes) -> PendingStep:
        """Start a step, once its cause is durable."""
        self.check_step(step)
        pending = PendingStep(self, operation, step, arguments)
        self._steps[pending.key] = pending
        self._asked.append(pending)
        return pending

    def check_step(self, step: StepDefinition) -> None:
        """Refuse a step that the engine was not given."""
        self._stay_alive()
        self._services.registry.step(step.name)

    def give_up(self, pending: PendingStep) -> None:
        """The run's code no longer wants a step: it is stopped after this turn."""
        self._stay_alive()
        self._given_up.append(pending)

    def sleep(self, operation: Operation, seconds: float) -> asyncio.Future[None]:
        """A future that is done when the time has come."""
        self._stay_alive()
        future: asyncio.Future[None] = self.loop.create_future()
        self._alarm_for(future, operation.key, seconds, partial(_finish, future))
        return future

    def receive(self, operation: Operation, name: str, timeout: float | None) -> asyncio.Future[bytes]:
        """A future of the next signal of that name; a TimeoutError after ``timeout`` seconds."""
        self._stay_alive()
        future: asyncio.Future[bytes] = self.loop.create_future()
        letters = self._mailbox.get(name)
        if letters:
            future.set_result(letters.popleft())
            return future
        receivers = self._receivers.setdefault(name, deque())
        receivers.append(future)
        future.add_done_callback(partial(_leave, receivers))
        if timeout is not None:
            late = TimeoutError(f"no signal {name!r} within {timeout:g} seconds")
            self._alarm_for(future, operation.key, timeout, partial(_fail, future, late))
        return future

    def publish(self, operation: Operation, name: str, data: bytes) -> None:  # noqa: ARG002  # the key has the name
        """Add an event for watchers, unless it was recorded before."""
        self._stay_alive()
        if self._inert:
            return
        if not self._replaying:
            self._stage(EventType.PUBLISHED, operation.key, data)
        elif operation.key in self._published:
            self._said.add(operation.key)
        else:
            self._unsaid[operation.key] = data

    def arm(self, timer: asyncio.TimerHandle) -> None:
        """A timer of plain asyncio, such as that of ``asyncio.timeout``: an operation like any other."""
        self._stay_alive()
        self._watch(f"{next_place()}:timer", timer)

    def disarm(self, timer: asyncio.TimerHandle) -> None:
        """Forget a timer."""
        key = self._timer_keys.pop(id(timer), None)
        if key is not None:
            del self._timers[key]
            alarm = self._alarms.pop(key, None)
            if alarm is not None:
                self._services.alarms.call_off(alarm)

    # What happens to the run, from outside. Never called from inside one of its tasks.

    def begin(self, data: bytes) -> None:
        """Start the code on its recorded input and turn it for the first time."""
        context = contextvars.Context()
        try:
            work = self._workflow.begin(context.run(Context, self), data)
        except PayloadError as error:
            raise MismatchError(f"the recorded input does not fit the code: {error.message}") from error
        self._root = self.loop.create_task(work, context=context)
        self._turn()

    def replay(self, entries: Iterable[Entry]) -> None:
        """Deliver what was recorded, in its order, and go on from there.

        What was recorded and the code does not ask for makes the run stuck, and so does the opposite.
        """
        if self._inert:
            return
        recorded = list(entries)
        self.offset = recorded[-1].offset
        self._published = {entry.key for entry in recorded if entry.type == EventType.PUBLISHED}
        self._replaying = True
        try:
            for entry in recorded:
                if not self.status.closed:
                    self._replay_one(entry)
        except MismatchError as error:
            self._become_stuck(error)
        except Exception as error:  # noqa: BLE001  # a damaged row must not leave a run that nothing moves
            self._become_stuck(MismatchError(f"the history cannot be read: {type(error).__name__}: {error}"))
        else:
            self._replaying = False
            for key, data in self._unsaid.items():
                self._stage(EventType.PUBLISHED, key, data)
            for pending in self._asked:
                pending.in_doubt = self.cause is None
            if not self.status.closed:
                self._after_turn()
            self._services.journal.flush()

    def step_started(self, pending: PendingStep) -> Group:
        """Record that an attempt begins; nobody waits for this row unless he says so."""
        return self._stage(EventType.STEP_STARTED, step_key(pending.key, pending.attempt), b"", lazy=True)

    def step_progress(self, pending: PendingStep, data: bytes) -> None:
        """Record partial output."""
        self._stage(EventType.STEP_PROGRESS, step_key(pending.key, pending.attempt), data, lazy=True)

    def step_retrying(self, pending: PendingStep, data: bytes) -> None:
        """Record that an attempt failed and when the next one is due."""
        self._stage(EventType.STEP_RETRYING, step_key(pending.key, pending.attempt), data)
        self._services.journal.flush()

    def step_ended(self, pending: PendingStep, kind: EventType, data: bytes) -> None:
        """Record a step's outcome and let the code go on."""
        if not self.wants(pending):
            return
        self._stage(kind, step_key(pending.key, pending.attempt), data)
        self._deliver_outcome(pending, kind, data)

    def wants(self, pending: PendingStep) -> bool:
        """Whether the outcome of that step still matters."""
        return not self._inert and self._steps.get(pending.key) is pending

    def signal(self, name: str, data: bytes, signal_id: str | None) -> None:
        """Record and deliver a signal, once for each id."""
        if signal_id is not None and signal_id in self._signal_ids:
            return
        key = signal_key(name, signal_id)
        self._stage(EventType.SIGNAL_RECEIVED, key, data)
        self._deliver_signal(key, data)
        self._turn()

    def cancel(self) -> None:
        """Record and deliver the wish to stop, once."""
        if self._cancel_requested:
            return
        self._stage(EventType.CANCEL_REQUESTED, "", b"")
        self._deliver_cancel()
        self._turn()

    def drop(self) -> None:
        """Leave memory; the history has everything."""
        if self._inert:
            return
        self._inert = True
        for alarm in self._alarms.values():
            self._services.alarms.call_off(alarm)
        for pending in self._steps.values():
            self._services.runner.cancel(pending)
            pending.let_go()
        self.loop.drop()

    def info(self) -> RunInfo:
        """What is known of it once it has ended."""
        return RunInfo(
            id=self.run_id,
            workflow=self.workflow,
            status=self.status,
            created_at=utc(self.created_at),
            closed_at=utc(self._now),
            reason=self.reason,
        )

    @property
    def waiting(self) -> bool:
        """Whether only time or a signal can move it."""
        return not self._steps

    # How it goes on.

    def _turn(self) -> None:
        if self._inert:
            return
        try:
            self.loop.turn()
        except DeterminismError as error:
            self._close(Status.FAILED, Failure.of(error))
            return
        if not self._replaying:
            self._after_turn()
            self._services.journal.flush()

    def _after_turn(self) -> None:
        """The code waits, or has ended: start what it asked for, stop what it gave up."""
        if self._root is not None and self._root.done():
            self._conclude(self._root)
            return
        unset, self._unset = self._unset, []
        for key in unset:
            self._set_alarm(key)
        asked, self._asked = self._asked, []
        for pending in asked:
            self._when_durable(partial(self._launch, pending))
        given_up, self._given_up = self._given_up, []
        for pending in given_up:
            if pending.launched:
                self._services.runner.cancel(pending)
            else:
                self._services.loop.call_soon(self.step_ended, pending, EventType.STEP_CANCELLED, b"")

    def _launch(self, pending: PendingStep) -> None:
        if self.wants(pending) and pending.ended is None:
            pending.launched = True
            self._services.runner.launch(pending)

    def _when_durable(self, call: Callable[[], None]) -> None:
        if self.cause is None or self.cause.committed:
            call()
        else:
            self.cause.then.append(call)

    def _conclude(self, root: asyncio.Task[Any]) -> None:
        if root.cancelled() and self._cancel_requested:
            self._close(Status.CANCELLED)
            return
        try:
            data: bytes = root.result()
        except Misfit as error:
            self._become_stuck(MismatchError(f"a recorded result does not fit the code: {error}"))
        except BaseException as error:  # noqa: BLE001  # whatever it is, the run failed with it
            self._close(Status.FAILED, Failure.of(error))
        else:
            self._close(Status.COMPLETED, data=data)

    def _close(self, status: Status, failure: Failure | None = None, data: bytes = b"") -> None:
        self.status = status
        self.result = data if failure is None else failure.model_dump_json().encode()
        self.reason = "" if failure is None else f"{failure.type}: {failure.message}"
        self._stage(_CLOSING_EVENT[status], "", self.result)
        row = (self.number, status, self._now, self.reason)
        self._services.journal.stage(SET_ENDED, row).then.append(partial(self._services.on_closed, self))
        self._services.journal.flush()
        self.drop()

    def _become_stuck(self, error: MismatchError) -> None:
        self.status = Status.STUCK
        self.reason = error.message
        row = (self.number, Status.STUCK, self.reason)
        group = self._services.journal.stage(SET_OPEN_STATUS, row)
        group.then.append(partial(self._services.on_closed, self))
        self._services.journal.flush()
        self.drop()

    # Delivery: the same live and on replay.

    def _replay_one(self, entry: Entry) -> None:
        kind = EventType(entry.type)
        if kind is EventType.STEP_STARTED or kind is EventType.STEP_RETRYING:
            self._remember_attempt(kind, entry)
            return
        if kind is EventType.PUBLISHED:
            self._expected({key: key for key in self._said}, entry.key)
            return
        if kind is EventType.STEP_PROGRESS:
            return
        if self._unsaid:
            # What one turn says is on the disk before whatever comes next.
            raise MismatchError(
                f"the code asks for {', '.join(self._unsaid)}, which the history does not have"
            )
        self._now = max(self._now, entry.at)
        if kind is EventType.RUN_STARTED:
            self.begin(entry.data)
        elif kind is EventType.SIGNAL_RECEIVED:
            self._deliver_signal(entry.key, entry.data)
            self._turn()
        elif kind is EventType.CANCEL_REQUESTED:
            self._deliver_cancel()
            self._turn()
        elif kind is EventType.TIMER_FIRED:
            self._deliver_timer(self._expected(self._timers, entry.key), entry.key)
        else:
            key, attempt = split_step_key(entry.key)
            pending = self._expected(self._steps, key)
            pending.attempt = attempt
            self._deliver_outcome(pending, kind, entry.data)

    def _expected(self, asked: dict[str, T], key: str) -> T:
        if key not in asked:
            asks = ", ".join(sorted([*self._steps, *self._timers, *self._unsaid])) or "nothing"
            raise MismatchError(
                f"the history has operation {key}, but the code at this point asks for {asks}"
            )
        return asked[key]

    def _remember_attempt(self, kind: EventType, entry: Entry) -> None:
        key, attempt = split_step_key(entry.key)
        pending = self._expected(self._steps, key)
        pending.attempt = attempt + 1
        pending.retry_at = from_json(entry.data)["retry_at"] if kind is EventType.STEP_RETRYING else None

    def _deliver_outcome(self, pending: PendingStep, kind: EventType, data: bytes) -> None:
        del self._steps[pending.key]
        pending.deliver(kind, data)
        self._turn()

    def _deliver_signal(self, key: str, data: bytes) -> None:
        signal_id, name = split_signal_key(key)
        if signal_id:
            self._signal_ids.add(signal_id)
        for receiver in self._receivers.get(name, ()):
            if not receiver.done():
                receiver.set_result(data)
                return
        self._mailbox.setdefault(name, deque()).append(data)

    def _deliver_cancel(self) -> None:
        self._cancel_requested = True
        if self._root is not None:
            self._root.cancel()

    def _deliver_timer(self, timer: asyncio.TimerHandle, key: str) -> None:
        del self._timers[key], self._timer_keys[id(timer)]
        self._alarms.pop(key, None)
        self.loop.run_soon(timer)
        self._turn()

    # Timers and rows.

    def _alarm_for(
        self, future: asyncio.Future[Any], key: str, seconds: float, ring: Callable[[], None]
    ) -> None:
        timer = asyncio.TimerHandle(self._now + seconds, ring, (), self.loop)
        self._watch(key, timer)
        future.add_done_callback(lambda _: timer.cancel())

    def _watch(self, key: str, timer: asyncio.TimerHandle) -> None:
        self._timers[key] = timer
        self._timer_keys[id(timer)] = key
        self._unset.append(key)

    def _set_alarm(self, key: str) -> None:
        timer = self._timers.get(key)
        if timer is not None:
            self._alarms[key] = self._services.alarms.set(timer.when(), partial(self._timer_due, key))

    def _timer_due(self, key: str) -> None:
        timer = self._timers[key]
        self._stage(EventType.TIMER_FIRED, key, b"")
        self._deliver_timer(timer, key)

    def _stage(self, kind: EventType, key: str, data: bytes, *, lazy: bool = False) -> Group:
        """Add a row to the history; what is not lazy is delivered too, and causes what follows."""
        at = max(self._now, self._services.clock.time())
        group = self._services.streams.stage(self.number, self.offset + 1, at, kind, key, data)
        self.offset += 1
        if lazy:
            self._services.journal.flush_soon()
        else:
            if kind is not EventType.STEP_RETRYING and kind is not EventType.PUBLISHED:
                self._now = at
            self.cause = group
        return group

    def _stay_alive(self) -> None:
        """Raise Evicted where the run has left memory.

        Code that catches even that, and asks again, is left waiting for ever after a while.
        """
        if not self._inert:
            if not self.loop.turning:
                raise DeterminismError("a context serves its workflow's own code alone, not its steps")
        elif self._evictions < MOST_EVICTIONS:
            self._evictions += 1
            raise Evicted


def _leave(receivers: deque[asyncio.Future[bytes]], future: asyncio.Future[bytes]) -> None:
    receivers.remove(future)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)

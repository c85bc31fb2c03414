"""One run in memory: its code on its own loop, and what it waits for.

Whatever happens to a run is first a row of its history, then delivered to its code, which then turns until it
waits for everything. Replay delivers the same rows again, one by one, so it leads to the same place. The code
may run ahead of the disk; what it asks for starts only when its cause is durable.
"""

from __future__ import annotations

import contextvars
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from orchestrator.core.clock import utc
from orchestrator.durable.context import Context
from orchestrator.durable.embedded.history import MARK_DELTAS, NEVER, SET_ENDED, SET_OPEN, life_of
from orchestrator.durable.embedded.loop import RunLoop
from orchestrator.durable.embedded.machine import EmbeddedMachine
from orchestrator.durable.embedded.mailbox import Mailbox
from orchestrator.durable.embedded.operations import Operations
from orchestrator.durable.embedded.replay import Replay
from orchestrator.durable.embedded.run_timers import END, RunTimers
from orchestrator.durable.entries import signal_key, step_key
from orchestrator.durable.errors import (
    ContinueAs,
    DeterminismError,
    Failure,
    Misfit,
    MismatchError,
)
from orchestrator.durable.payloads import PayloadError, to_json
from orchestrator.durable.runs import EventType, RunInfo, Status
from orchestrator.streams import Entry

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from orchestrator.durable.embedded.history import RunRow
    from orchestrator.durable.embedded.open_runs import OpenRuns
    from orchestrator.durable.embedded.pending import PendingChild, PendingStep
    from orchestrator.durable.embedded.services import Services
    from orchestrator.durable.workflows import Workflow
    from orchestrator.journal import Group

_CLOSING_EVENT = {
    Status.COMPLETED: EventType.RUN_COMPLETED,
    Status.FAILED: EventType.RUN_FAILED,
    Status.CANCELLED: EventType.RUN_CANCELLED,
    Status.TERMINATED: EventType.RUN_TERMINATED,
}


# What a replay does not tell the code, so that it cannot move its time.
_UNDELIVERED = frozenset(
    {EventType.STEP_RETRYING, EventType.PUBLISHED, EventType.RUN_PAUSED, EventType.RUN_RESUMED}
)


class Execution:
    """One run in memory."""

    def __init__(self, services: Services, runs: OpenRuns, row: RunRow, workflow: Workflow[Any, Any]) -> None:
        self._services = services
        self._runs = runs
        self._workflow = workflow
        self.row = row
        self.run_id = row.id
        self.workflow = workflow.type_name
        self.status = Status.RUNNING
        self.reason = ""
        self.result = b""
        self.machine = EmbeddedMachine(self, services, workflow)
        self.loop = RunLoop(self.machine)  # type: ignore[abstract]  # what it leaves out is I/O
        self.offset = 0
        self.cause: Group | None = None
        self.operations = Operations(self, services, runs)
        self.mailbox = Mailbox()
        self.timers = RunTimers(services.alarms, self._timer_due)
        # The group with which it leaves memory, unless it moves before.
        self.parking: Group | None = None
        self.now = 0.0
        self._root: asyncio.Task[Any] | None = None
        self._cancel_requested = False
        self._replay: Replay | None = None
        self.inert = False
        self.began = 1
        # Its id, with the life of an endless workflow: operations are counted anew in each.
        self.life = row.id
        self._continues = False
        self._cancelled_late = False
        self._has_deltas = False

    # What happens to the run, from outside. Never called from inside one of its tasks.

    def replay(self, entries: Iterable[Entry]) -> None:
        """Deliver what was recorded, in its order, and go on; where the code does not fit it, be stuck."""
        if self.inert:
            return
        self._replay = replay = Replay(self, entries)
        self.offset, self.began = replay.last_offset, replay.first_offset
        self.life = life_of(self.run_id, self.began)
        try:
            replay.deliver()
        except MismatchError as error:
            self.become_stuck(error)
            return
        self._replay = None
        for key, data in replay.unsaid.items():
            self.publish(key, data)
        for pending in self.operations.steps.values():
            pending.in_doubt = self.cause is None
        if self.timers.ends_at <= self._services.clock.time() and not self.status.closed:
            self._timer_due(END)
        elif not self.status.closed:
            self._after_turn()
        self._services.journal.flush()

    def publish(self, key: str, data: bytes) -> None:
        """Add an event for watchers, unless it was recorded before."""
        if self.inert:
            return
        if self._replay is None:
            self._stage(EventType.PUBLISHED, key, self._services.rules.redactor.json(data))
        else:
            self._replay.publish(key, data)

    def step_started(self, pending: PendingStep) -> Group:
        """Record that an attempt begins; nobody waits for this row unless he says so."""
        return self._stage(EventType.STEP_STARTED, step_key(pending.key, pending.attempt), b"", lazy=True)

    def step_progress(self, pending: PendingStep, data: bytes) -> None:
        """Record partial output."""
        if not self._has_deltas:
            self._has_deltas = True
            self._services.journal.stage(MARK_DELTAS, (self.row.number,))
        self._stage(EventType.STEP_PROGRESS, step_key(pending.key, pending.attempt), data, lazy=True)

    def step_retrying(self, pending: PendingStep, data: bytes) -> None:
        """Record that an attempt failed and when the next one is due."""
        self._stage(EventType.STEP_RETRYING, step_key(pending.key, pending.attempt), data)
        self._services.journal.flush()

    def rests(self) -> None:
        """Nothing of it runs for now."""
        self._runs.parking.rests(self)

    def step_ended(self, pending: PendingStep, kind: EventType, data: bytes) -> None:
        """Record a step's outcome and let the code go on."""
        if not self.operations.wants(pending):
            return
        self._stage(kind, step_key(pending.key, pending.attempt), data)
        self.deliver_outcome(pending, kind, data)

    def child_started(self, child: PendingChild) -> None:
        """Record that a child run began, with its id; nobody waits for this row."""
        self._stage(EventType.CHILD_STARTED, child.key, to_json(child.child_id, "a run's id"), lazy=True)

    def child_ending(self, child_id: str) -> None:
        """A child's end is being recorded: stay in memory until its outcome is."""
        children = self.operations.children_of(child_id)
        for child in children:
            child.ending = True
        if children and self.parking is not None:
            self._runs.parking.stays(self)

    def child_ended(self, child: PendingChild, kind: EventType, data: bytes) -> bool:
        """Record a child's outcome and let the code go on; False where it does not matter any more."""
        if not self.operations.wants_child(child):
            return False
        self._stage(kind, child.key, data)
        self.deliver_child(child, kind, data)
        return True

    def pause(self) -> None:
        """Record that nothing new is to begin."""
        if not self.operations.paused:
            self.operations.paused = True
            self._stage(EventType.RUN_PAUSED, "", b"")
            self._runs.parking.stays(self)

    def resume(self) -> None:
        """Record that it goes on, and begin what was asked for meanwhile."""
        if self.operations.paused:
            self._lift_pause()
            self._after_turn()

    def signal(self, name: str, data: bytes, signal_id: str | None) -> None:
        """Record and deliver a signal, once for each id."""
        if self.mailbox.knows(signal_id):
            return
        key = signal_key(name, signal_id)
        self._stage(EventType.SIGNAL_RECEIVED, key, data)
        self.deliver_signal(key, data)

    def cancel(self, end_at: float = NEVER) -> None:
        """Record and deliver the wish to stop, once; and when to end the run whatever its code does."""
        if end_at <= self._services.clock.time():
            self._close(Status.TERMINATED)
        elif end_at < self.timers.ends_at or not self._cancel_requested:
            self._lift_pause()  # or what its code does to clean up would wait for ever
            data = _wish_to_stop(end_at)
            self._stage(EventType.CANCEL_REQUESTED, "", data)
            self.deliver_cancel(data)

    def drop(self) -> None:
        """Leave memory; the history has everything."""
        if self.inert:
            return
        self.inert = True
        self.timers.call_off()
        self.operations.let_go()
        self.loop.drop()

    def info(self) -> RunInfo:
        """What is known of it once it has ended."""
        return replace(self.row.info(self.status), closed_at=utc(self.now), reason=self.reason)

    @property
    def waits(self) -> bool:
        """Whether only time, a signal or a child can move it, so that it needs no place in memory."""
        return not self.inert and self.operations.wait

    @property
    def stands(self) -> Status:
        """Where it stands, as far as it is open."""
        if self.status is Status.STUCK:
            return Status.STUCK
        if self.operations.paused:
            return Status.PAUSED
        return Status.RUNNING if self.operations.steps else Status.WAITING

    @property
    def wakes_at(self) -> float:
        """When time moves it next, in seconds since 1970."""
        return min([self.timers.earliest, *self.operations.retries])

    @property
    def hides(self) -> bool:
        """Whether its values are for nobody to read without a key."""
        return self._services.histories.hides

    def data(self, entry: Entry) -> bytes:
        """What one of its entries holds.

        Raises:
            UnreadableError: it cannot be read.
        """
        return self._services.histories.data(self.row.number, entry)

    # Delivery: the same live and on replay.

    def reach(self, at: float) -> None:
        """Let the run's time come to ``at``, unless it is later already."""
        self.now = max(self.now, at)

    def go_on_at(self, at: float) -> None:
        """After what a fork took over, or what was sent to a pending run, time goes on at ``at``.

        Waits keep what is left of them.
        """
        self.timers.put_off(max(at - self.now, 0.0))
        self.reach(at)

    def begin(self, data: bytes) -> None:
        """Start the code on its recorded input and turn it for the first time."""
        context = contextvars.Context()
        try:
            most_bytes = self._services.rules.most_bytes
            work = self._workflow.begin(context.run(Context, self.machine), data, most_bytes)
        except PayloadError as error:
            raise MismatchError(f"the recorded input does not fit the code: {error.message}") from error
        self._root = self.loop.create_task(work, context=context)
        self._turn()

    def deliver_outcome(self, pending: PendingStep, kind: EventType, data: bytes) -> None:
        """Tell the code how a step ended."""
        del self.operations.steps[pending.key]
        pending.deliver(kind, data)
        self._turn()

    def deliver_child(self, child: PendingChild, kind: EventType, data: bytes) -> None:
        """Tell the code how a child run ended."""
        del self.operations.children[child.key]
        child.deliver(kind, data)
        self._turn()

    def deliver_signal(self, key: str, data: bytes) -> None:
        """Hand the code a signal."""
        self.mailbox.put(key, data)
        self._turn()

    def deliver_cancel(self, data: bytes) -> None:
        """Cancel the code, the first time."""
        if data:
            self.timers.end_at(from_json(data)["end_at"])
        if self._root is not None and not self._cancel_requested:
            self._cancelled_late = self._root.done()
            self._root.cancel()
        self._cancel_requested = True
        self._turn()

    def deliver_timer(self, key: str) -> None:
        """Let the code know that a time has come."""
        self.loop.run_soon(self.timers.fire(key))
        self._turn()

    # How it goes on.

    def _lift_pause(self) -> None:
        if self.operations.paused:
            self.operations.paused = False
            self._stage(EventType.RUN_RESUMED, "", b"")
            self._runs.parking.stays(self)

    def _turn(self) -> None:
        if self.inert:
            return
        try:
            self.loop.turn()
        except DeterminismError as error:
            self._close(Status.FAILED, Failure.of(error, self._services.rules.redactor))
            return
        if self._replay is None:
            self._after_turn()
            self._services.journal.flush()

    def _after_turn(self) -> None:
        """The code waits, or has ended: start what it asked for, stop what it gave up."""
        if self._root is not None and self._root.done():
            self._conclude(self._root)
            return
        self.timers.set_alarms()
        self.operations.after_turn()
        if self.operations.paused or self.operations.back_off:
            self._runs.parking.rests(self)

    def when_durable(self, call: Callable[[], None]) -> None:
        """Call once what caused this turn is on the disk."""
        if self.cause is None or self.cause.committed:
            call()
        else:
            self.cause.then.append(call)

    def _conclude(self, root: asyncio.Task[Any]) -> None:
        if self._continues:
            return
        if root.cancelled() and self._cancel_requested:
            self._close(Status.CANCELLED)
            return
        try:
            data: bytes = root.result()
        except ContinueAs as error:
            self._continues = True
            self._services.journal.turns.add(self._continue_as, error.data)
        except Misfit as error:
            self.become_stuck(MismatchError(f"a recorded result does not fit the code: {error}"))
        except BaseException as error:  # noqa: BLE001  # whatever it is, the run failed with it
            self._close(Status.FAILED, Failure.of(error, self._services.rules.redactor))
        else:
            self._close(Status.COMPLETED, data=data)

    def _continue_as(self, data: bytes) -> None:
        """Begin anew, with what was signalled and not received."""
        if self.inert:
            return
        rows = [(EventType.RUN_STARTED, "", data)]
        rows += [(EventType.SIGNAL_RECEIVED, key, letter) for key, letter in self.mailbox.kept]
        if self.operations.paused:
            rows.append((EventType.RUN_PAUSED, "", b""))
        if self._cancelled_late or self.timers.ends_at < NEVER:
            rows.append((EventType.CANCEL_REQUESTED, "", _wish_to_stop(self.timers.ends_at)))
        at = max(self.now, self._services.clock.time())
        self._runs.begin_anew(
            self, [Entry(offset, at, *row) for offset, row in enumerate(rows, self.offset + 1)]
        )

    def _close(self, status: Status, failure: Failure | None = None, data: bytes = b"") -> None:
        self.status = status
        self.result = data if failure is None else failure.model_dump_json().encode()
        self.reason = "" if failure is None else f"{failure.type}: {failure.message}"
        self._runs.children.ending(self.row)
        self._stage(_CLOSING_EVENT[status], "", self.result)
        # Anyone may read this column; where values are encrypted, the last entry alone has the message.
        told = failure.type if failure is not None and self.hides else self.reason
        row = (self.row.number, status, self.now, told)
        self._services.journal.stage(SET_ENDED, row).then.append(partial(self._runs.left, self))
        self._services.journal.flush()
        self.drop()

    def become_stuck(self, error: MismatchError) -> None:
        """Stand still, and say why, until the right code or what is missing comes back."""
        self.status = Status.STUCK
        self.reason = self._services.rules.redactor.text(error.message)
        row = (self.row.number, Status.STUCK, self.reason, None)
        group = self._services.journal.stage(SET_OPEN, row)
        group.then.append(partial(self._runs.left, self))
        self._services.journal.flush()
        self.drop()

    # Timers and rows.

    def _timer_due(self, key: str) -> None:
        if key == END:
            self._close(Status.TERMINATED)
            return
        self._stage(EventType.TIMER_FIRED, key, b"")
        self.deliver_timer(key)

    def _stage(self, kind: EventType, key: str, data: bytes, *, lazy: bool = False) -> Group:
        """Add a row to the history; what is not lazy is delivered too, and causes what follows."""
        at = max(self.now, self._services.clock.time())
        group = self._services.histories.stage(self.row.number, self.offset + 1, at, kind, key, data)
        self.offset += 1
        if self.parking is not None:
            self._runs.parking.stays(self)
        if lazy:
            self._services.journal.flush_soon()
        else:
            if kind not in _UNDELIVERED:
                self.now = at
            self.cause = group
        return group


def _wish_to_stop(end_at: float) -> bytes:
    """The data of a cancel: when the run is to be ended by force, if ever."""
    return b"" if end_at == NEVER else to_json({"end_at": end_at}, "a cancel")

"""Runs steps: attempts, their retries, their progress and their end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import itertools
import logging
import threading
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from pydantic_core import to_json as _to_json

from orchestrator.core.errors import PayloadTooLargeError
from orchestrator.durable.attempt import Attempt, StepInfo
from orchestrator.durable.errors import Failure
from orchestrator.durable.outcomes import MOST_LOST_ATTEMPTS, Verdict, perform
from orchestrator.durable.payloads import USUAL_RULES, PayloadError, to_json
from orchestrator.durable.runs import EventType
from orchestrator.durable.threads import StepThreads, ThreadPlace

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.durable.embedded.pending import PendingStep
    from orchestrator.durable.embedded.timers import Alarm, Alarms
    from orchestrator.durable.payloads import PayloadRules
    from orchestrator.durable.registry import Registry
    from orchestrator.journal import Journal

    # The priority of the step's run, and when the step came: the lowest has the first turn.
    Turn = tuple[int, int, PendingStep]

logger = logging.getLogger(__name__)

MOST_STEPS_AT_ONCE = 1_000
MOST_THREADS = 64
# Partial output is for people who watch; beyond this an attempt floods the journal instead.
MOST_PROGRESS_ROWS = 20_000
# How long closing waits for steps that do not stop when asked, such as threads.
CLOSE_GRACE_S = 10.0


class StepRunner:
    """Runs the attempts of all runs on the process's own event loop, at most a thousand at once."""

    def __init__(
        self,
        journal: Journal,
        registry: Registry,
        clock: Clock,
        alarms: Alarms,
        most_at_once: int = MOST_STEPS_AT_ONCE,
        rules: PayloadRules = USUAL_RULES,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._journal = journal
        self._registry = registry
        self._clock = clock
        self._alarms = alarms
        self._most_at_once = most_at_once
        self._rules = rules
        self._threads = StepThreads(MOST_THREADS, on_free=self._thread_ended)
        self._running: dict[PendingStep, asyncio.Task[bytes | Verdict]] = {}
        self._arrivals = itertools.count()
        self._queued: list[Turn] = []
        self._queued_for_threads: list[Turn] = []
        self._places: dict[PendingStep, ThreadPlace] = {}
        self._counting: set[PendingStep] = set()
        self._backing_off: dict[PendingStep, Alarm] = {}
        self._hanging: set[PendingStep] = set()
        self._moved = asyncio.Event()
        self._stopped = False

    def launch(self, pending: PendingStep) -> None:
        """Begin the attempt that comes next, or wait until it is due."""
        if pending.retry_at is None:
            self._due(pending)
        else:
            pending.backs_off = True
            self._backing_off[pending] = self._alarms.set(pending.retry_at, partial(self._due, pending))

    def cancel(self, pending: PendingStep) -> None:
        """Stop it, wherever it is; its end is recorded if its run still wants it."""
        task = self._running.get(pending)
        if task is not None:
            task.cancel()
            return
        alarm = self._backing_off.pop(pending, None)
        if alarm is not None:
            self._alarms.call_off(alarm)
        self._loop.call_soon(pending.run.step_ended, pending, EventType.STEP_CANCELLED, b"")

    async def stop(self) -> None:
        """Stop everything without recording an end, so that it runs again later."""
        self._stopped = True
        self._queued.clear()
        self._queued_for_threads.clear()
        for task in self._running.values():
            task.cancel()
        if self._running:
            _, late = await asyncio.wait(self._running.values(), timeout=CLOSE_GRACE_S)
            if late:
                names = sorted({pending.step.name for pending in self._running})
                logger.warning("steps that did not stop when asked: %s", ", ".join(names))
            for task in late:
                task.cancel()  # a second time, which lets a thread go

    def _due(self, pending: PendingStep) -> None:
        self._backing_off.pop(pending, None)
        pending.backs_off = False
        self._enter((pending.run.row.priority, next(self._arrivals), pending))

    def _enter(self, turn: Turn) -> None:
        """Begin the attempt whose turn it is, or have it queue."""
        pending = turn[2]
        if self._stopped or not pending.run.operations.wants(pending):
            return
        if pending.attempt > pending.step.retry.attempts + MOST_LOST_ATTEMPTS:
            self._loop.call_soon(self._give_up, pending)
            return
        if not self._has_room:
            heapq.heappush(self._queued, turn)
            return
        if not pending.step.is_async:
            place = self._threads.take()
            if place is None:
                heapq.heappush(self._queued_for_threads, turn)
                return
            self._places[pending] = place
        group = pending.run.step_started(pending)
        if pending.attempt == 1 and not pending.in_doubt:
            self._begin(pending)
        else:
            # A step that kills the process must be found counted when the process comes back.
            self._counting.add(pending)
            group.then.append(partial(self._counted, pending))
            self._journal.flush()

    def _counted(self, pending: PendingStep) -> None:
        self._counting.discard(pending)
        self._begin(pending)
        self._admit()

    @property
    def _has_room(self) -> bool:
        return len(self._running) + len(self._counting) < self._most_at_once

    def _admit(self) -> None:
        """Let in those who queue, as far as there is room: by priority, then as they came."""
        while (self._queued or self._queued_for_threads) and self._has_room:
            lines = [self._queued, self._queued_for_threads if self._threads.has_room else []]
            line = min((line for line in lines if line), key=itemgetter(0), default=None)
            if line is None:
                return
            self._enter(heapq.heappop(line))

    def _thread_ended(self) -> None:
        # A loop that was closed meanwhile has nobody left to let in.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._admit)

    def _give_up(self, pending: PendingStep) -> None:
        """A step whose process ends again and again may be what ends it."""
        lost = Failure(
            type="ProcessLost",
            code="process_lost",
            message=f"the process ended {pending.attempt - 1} times while step {pending.step.name} ran",
        )
        pending.run.step_ended(pending, EventType.STEP_FAILED, _recorded(lost))

    def _begin(self, pending: PendingStep) -> None:
        place = self._places.pop(pending, None)
        if self._stopped or not pending.run.operations.wants(pending) or pending.ended is not None:
            if place is not None:
                place.let_go()
            return
        run_id = pending.run.run_id
        info = StepInfo(
            run_id=run_id,
            step=pending.step.name,
            operation=pending.operation.place,
            attempt=pending.attempt,
            idempotency_key=f"{pending.run.life}/{pending.key}",
        )
        work = perform(
            self._registry.step(pending.step.name),
            pending.arguments,
            Attempt(info, _Progress(self, pending), partial(self._hangs, pending)),
            place,
            self._rules,
        )
        task = self._loop.create_task(work, context=contextvars.Context())
        self._running[pending] = task
        task.add_done_callback(partial(self._ended, pending))
        if place is not None:
            task.add_done_callback(lambda _: place.let_go())

    def _ended(self, pending: PendingStep, task: asyncio.Task[bytes | Verdict]) -> None:
        del self._running[pending]
        self._moved.set()
        if self._stopped:
            return
        self._admit()
        if not pending.run.operations.wants(pending):
            return
        if task.cancelled():
            pending.run.step_ended(pending, EventType.STEP_CANCELLED, b"")
            return
        error = task.exception()
        outcome = task.result() if error is None else Verdict(Failure.of(error, self._rules.redactor))
        if isinstance(outcome, bytes):
            pending.run.step_ended(pending, EventType.STEP_COMPLETED, outcome)
        elif outcome.retry_after_s is None or pending.ended is not None:
            pending.run.step_ended(pending, EventType.STEP_FAILED, _recorded(outcome.failure))
        else:
            self._retry(pending, outcome.failure, outcome.retry_after_s)

    def _retry(self, pending: PendingStep, failure: Failure, after_s: float) -> None:
        pending.retry_at = self._clock.time() + after_s
        data = _to_json({"failure": failure.model_dump(), "retry_at": pending.retry_at})
        pending.run.step_retrying(pending, data)
        pending.attempt += 1
        self.launch(pending)
        pending.run.rests()

    @property
    def at_work(self) -> list[PendingStep]:
        """Steps that run or queue, without those that say of themselves that they hang."""
        queued = [turn[2] for turn in (*self._queued, *self._queued_for_threads)]
        return [*(self._running.keys() - self._hanging), *queued]

    async def moved(self) -> None:
        """Until a step has ended, or hangs, or ``stir`` was called."""
        self._moved.clear()
        await self._moved.wait()

    def stir(self) -> None:
        """Wake who waits for steps to end: something else happened."""
        self._moved.set()

    def _hangs(self, pending: PendingStep, hanging: bool) -> None:  # noqa: FBT001  # the one thing it is told
        if hanging:
            self._hanging.add(pending)
        else:
            self._hanging.discard(pending)
        self._moved.set()

    def report(self, pending: PendingStep, progress: object) -> None:
        """Record progress of an attempt, without secrets, from whatever thread it comes.

        Raises:
            PayloadError: it has no JSON form. PayloadTooLargeError: or too large a one.
        """
        data = self._rules.redactor.json(to_json(progress, "progress", self._rules.most_bytes))
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._report, pending, data)
        else:
            self._report(pending, data)

    def _report(self, pending: PendingStep, data: bytes) -> None:
        if pending in self._running and pending.run.operations.wants(pending):
            pending.run.step_progress(pending, data)


class _Progress:
    """Takes the progress of one attempt, as much of it as is good."""

    __slots__ = ("_left", "_pending", "_runner")

    def __init__(self, runner: StepRunner, pending: PendingStep) -> None:
        self._runner = runner
        self._pending = pending
        self._left = MOST_PROGRESS_ROWS

    def __call__(self, data: object) -> None:
        self._left -= 1
        if self._left < 0:
            if self._left == -1:
                logger.warning("step %s reports too much; the rest is not shown", self._pending.step.name)
            return
        try:
            self._runner.report(self._pending, data)
        except (PayloadError, PayloadTooLargeError) as error:
            logger.warning("progress of step %s is not shown: %s", self._pending.step.name, error)


def _recorded(failure: Failure) -> bytes:
    return failure.model_dump_json().encode()

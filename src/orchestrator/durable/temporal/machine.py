"""What a run's code asks for, in terms of Temporal's workflow API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable  # noqa: TC003  # a field's type
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from temporalio import workflow as temporal
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import FailureError

from orchestrator.durable.errors import StepError
from orchestrator.durable.outcomes import MOST_LOST_ATTEMPTS
from orchestrator.durable.payloads import to_json
from orchestrator.durable.temporal.beginnings import life_of
from orchestrator.durable.temporal.clock import RunClock
from orchestrator.durable.temporal.deliveries import Source
from orchestrator.durable.temporal.failures import failure_of
from orchestrator.durable.temporal.payloads import MAX_CARRIED_BYTES, carried
from orchestrator.durable.temporal.taken_over import TakenOver
from orchestrator.durable.temporal.timers import Timers, keep_time
from orchestrator.durable.temporal.unsupported import LaterOfMachine

if TYPE_CHECKING:
    from orchestrator.durable.machine import Operation, Pending
    from orchestrator.durable.steps import StepDefinition
    from orchestrator.durable.temporal.beginnings import Beginning
    from orchestrator.durable.temporal.deliveries import Deliveries
    from orchestrator.durable.temporal.mailbox import Mailbox
    from orchestrator.durable.workflows import Workflow

# The memo entry whose changes, each an event of the history, are what a run publishes: {"key", "data"}.
PUBLISHED = "orchestrator:published"

# A worker that is lost is noticed, and a cancel reaches a running step, within this time.
HEARTBEAT_TIMEOUT = timedelta(seconds=3)
# Temporal wants an end to every attempt; a step's own timeout is kept by the worker that runs it.
LONGEST_ATTEMPT = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class RunningStep:
    """A step that was asked for."""

    outcome: asyncio.Future[bytes]
    _ended: asyncio.Future[None]
    _stop: Callable[[], object]

    def cancel(self) -> asyncio.Future[None]:
        """Ask for its end; the future is done once it has ended."""
        self._stop()
        return self._ended


class TemporalMachine(LaterOfMachine):
    """The `Machine` of one run, in terms of Temporal's workflow API."""

    def __init__(
        self, workflow: Workflow[Any, Any], beginning: Beginning, mailbox: Mailbox, deliveries: Deliveries
    ) -> None:
        info = temporal.info()
        self.run_id = info.workflow_id
        self.workflow = workflow.type_name
        self.seed = beginning.seed(info.first_execution_run_id)
        self._definition = workflow
        self._life = life_of(self.run_id, beginning.life)
        self.most_payload_bytes = MAX_CARRIED_BYTES
        self._mailbox = mailbox
        self._deliveries = deliveries
        self._loop = asyncio.get_running_loop()
        self._clock = RunClock()
        self._timers = Timers(deliveries, self._clock)
        self._taken_over = TakenOver(beginning.taken_over, self._clock, self._timers, mailbox)
        deliveries.begin_with(self._taken_over)
        keep_time(self._loop, self._timers, self._clock)

    def now(self) -> float:
        """The time of the last thing delivered, in seconds since 1970; never backwards."""
        return self._clock.now()

    def run(self, operation: Operation, step: StepDefinition, arguments: bytes) -> Pending:
        """Schedule an activity named like the step, with the operation's identity as its id."""
        self.stay_alive()
        told = self._taken_over.ask(operation.key)
        if told is not None:
            return told
        activity = temporal.start_activity(
            step.name,
            args=[carried(arguments, f"the arguments of {step.name}"), self._life],
            activity_id=operation.key,
            result_type=RawValue,
            start_to_close_timeout=LONGEST_ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(
                backoff_coefficient=1.0, maximum_attempts=step.retry.attempts + MOST_LOST_ATTEMPTS
            ),
            cancellation_type=temporal.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        outcome: asyncio.Future[bytes] = self._loop.create_future()
        ended: asyncio.Future[None] = self._loop.create_future()

        def settle() -> None:
            _settle(outcome, activity)
            ended.set_result(None)

        activity.add_done_callback(lambda _: self._deliveries.add(Source.STEP, settle))
        return RunningStep(outcome, ended, activity.cancel)

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
        entry = b'{"key":%b,"data":%b}' % (to_json(operation.key, "the event's key"), data)
        memo = {PUBLISHED: carried(entry, f"the event {name}")}
        self._taken_over.say(operation.key, lambda: temporal.upsert_memo(memo))

    def stay_alive(self) -> None:
        """End code that Python throws away, as such code ends.

        A worker that stops leaves its runs to the garbage collector, which may close their code in the midst
        of another run, which would then do what their cleanup asks for.
        """
        if asyncio._get_running_loop() is not self._loop:  # noqa: SLF001  # there may be none
            raise GeneratorExit

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


def _settle(outcome: asyncio.Future[bytes], activity: asyncio.Task[RawValue]) -> None:
    # Errors are read at once, here and there: nobody may await them, and that is no accident to report.
    error = None if activity.cancelled() else activity.exception()
    if outcome.done():
        return
    if activity.cancelled():
        outcome.cancel()
    elif error is None:
        outcome.set_result(activity.result().payload.data)
    else:
        outcome.set_exception(_step_error(error))
        outcome.exception()


def _step_error(error: BaseException) -> BaseException:
    if not isinstance(error, FailureError):
        return error
    return StepError.of(failure_of(error))

"""A run inside a Temporal worker: workflow functions as workflow types, and what their contexts ask for."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence  # noqa: TC003  # Temporal reads annotations
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio import workflow as temporal
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import FailureError

from orchestrator.durable.context import Context
from orchestrator.durable.errors import Failure, StepError
from orchestrator.durable.guard import refuse_io_on
from orchestrator.durable.outcomes import MOST_LOST_ATTEMPTS, is_cancelled
from orchestrator.durable.temporal.failures import failure_of, recorded_error
from orchestrator.durable.temporal.payloads import MAX_CARRIED_BYTES, carried
from orchestrator.durable.temporal.unsupported import LaterOfMachine

if TYPE_CHECKING:
    from orchestrator.durable.machine import Operation
    from orchestrator.durable.steps import StepDefinition
    from orchestrator.durable.workflows import Workflow

# A worker that is lost is noticed, and a cancel reaches a running step, within this time.
HEARTBEAT_TIMEOUT = timedelta(seconds=3)
# Temporal wants an end to every attempt; a step's own timeout is kept by the worker that runs it.
LONGEST_ATTEMPT = timedelta(days=3650)
# A server's timers count in milliseconds and refuse zero.
SHORTEST_TIMER_S = 0.001


def workflow_type(definition: Workflow[Any, Any]) -> type:
    """The Temporal workflow type that runs a workflow function."""

    class Run:
        def __init__(self) -> None:
            self._mailbox = Mailbox()

        async def run(self, data: RawValue) -> RawValue:
            return await _run(definition, data.payload.data, self._mailbox)

        @temporal.signal(dynamic=True)
        def signal(self, name: str, letter: Sequence[RawValue]) -> None:
            self._mailbox.put(name, *(part.payload.data for part in letter))

    # Temporal refuses functions of local classes, since its sandbox imports them by name; we use none.
    Run.run.__qualname__ = Run.__qualname__ = "Run.run"
    Run.__qualname__ = "Run"
    temporal.run(Run.run)
    return temporal.defn(name=definition.type_name, sandboxed=False, failure_exception_types=[Exception])(Run)


async def _run(definition: Workflow[Any, Any], data: bytes, mailbox: Mailbox) -> RawValue:
    refuse_io_on(type(asyncio.get_running_loop()))
    context = Context(TemporalMachine(mailbox))
    try:
        return carried(await definition.begin(context, data), f"the result of {definition.name}")
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        raise recorded_error(Failure.of(error)) from None


class Mailbox:
    """A run's signals: kept until somebody receives them, in the order of arrival."""

    def __init__(self) -> None:
        self._letters: dict[str, deque[bytes]] = defaultdict(deque)
        self._readers: dict[str, deque[asyncio.Future[bytes]]] = defaultdict(deque)
        self._known: set[bytes] = set()

    def put(self, name: str, data: bytes, identity: bytes) -> None:
        """Hand a signal over, unless one of that identity came before."""
        if identity in self._known:
            return
        self._known.add(identity)
        readers = self._readers[name]
        while readers:
            reader = readers.popleft()
            if not reader.done():
                reader.set_result(data)
                return
        self._letters[name].append(data)

    def take(self, name: str, timeout_s: float | None) -> asyncio.Future[bytes]:
        """The next signal of that name; a TimeoutError after ``timeout_s``."""
        loop = asyncio.get_running_loop()
        reader: asyncio.Future[bytes] = loop.create_future()
        if self._letters[name]:
            reader.set_result(self._letters[name].popleft())
            return reader
        self._readers[name].append(reader)
        if timeout_s is not None:
            timer = loop.call_later(max(timeout_s, SHORTEST_TIMER_S), _expire, reader, name, timeout_s)
            reader.add_done_callback(lambda _: timer.cancel())
        return reader


def _expire(reader: asyncio.Future[bytes], name: str, timeout_s: float) -> None:
    if not reader.done():
        reader.set_exception(TimeoutError(f"no signal {name!r} within {timeout_s:g} seconds"))


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

    def __init__(self, mailbox: Mailbox) -> None:
        info = temporal.info()
        self.run_id = info.workflow_id
        self.workflow = info.workflow_type
        self.seed = info.first_execution_run_id.encode()
        self.most_payload_bytes = MAX_CARRIED_BYTES
        self._mailbox = mailbox
        self._latest_s = 0.0
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        """The time of the last thing delivered, in seconds since 1970; never backwards."""
        self._latest_s = max(self._latest_s, temporal.time())
        return self._latest_s

    def run(self, operation: Operation, step: StepDefinition, arguments: bytes) -> RunningStep:
        """Schedule an activity named like the step, with the operation's identity as its id."""
        self.stay_alive()
        activity = temporal.start_activity(
            step.name,
            carried(arguments, f"the arguments of {step.name}"),
            activity_id=operation.key,
            result_type=RawValue,
            start_to_close_timeout=LONGEST_ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(
                backoff_coefficient=1.0, maximum_attempts=step.retry.attempts + MOST_LOST_ATTEMPTS
            ),
            cancellation_type=temporal.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[bytes] = loop.create_future()
        ended: asyncio.Future[None] = loop.create_future()

        def settle(_: object) -> None:
            _settle(outcome, activity)
            ended.set_result(None)

        activity.add_done_callback(settle)
        return RunningStep(outcome, ended, activity.cancel)

    def check_step(self, step: StepDefinition) -> None:
        """Any worker of the task queue may have it, so this one cannot tell."""

    def sleep(
        self,
        operation: Operation,  # noqa: ARG002  # of the port
        seconds: float,
    ) -> asyncio.Future[None]:
        """Start a timer."""
        self.stay_alive()
        loop = asyncio.get_running_loop()
        awake: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(max(seconds, SHORTEST_TIMER_S), _wake, awake)
        awake.add_done_callback(lambda _: timer.cancel())
        return awake

    def receive(
        self,
        operation: Operation,  # noqa: ARG002  # of the port
        name: str,
        timeout: float | None,
    ) -> asyncio.Future[bytes]:
        """Take the next signal of that name."""
        self.stay_alive()
        return self._mailbox.take(name, timeout)

    def stay_alive(self) -> None:
        """End code that Python throws away, as such code ends.

        A worker that stops leaves its runs to the garbage collector, which may close their code in the midst
        of another run, which would then do what their cleanup asks for.
        """
        if asyncio._get_running_loop() is not self._loop:  # noqa: SLF001  # there may be none
            raise GeneratorExit


def _wake(awake: asyncio.Future[None]) -> None:
    if not awake.done():
        awake.set_result(None)


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

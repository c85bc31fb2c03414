"""Steps, as a run's code on Temporal asks for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from temporalio import workflow as temporal
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import FailureError

from orchestrator.durable.errors import StepError
from orchestrator.durable.temporal.failures import failure_of

if TYPE_CHECKING:
    from orchestrator.durable.machine import Operation
    from orchestrator.durable.steps import StepDefinition

# A worker that is lost is noticed, and a cancel reaches a running step, within this time.
HEARTBEAT_TIMEOUT: Final = timedelta(seconds=3)
# Temporal wants an end to every attempt; a step's own timeout is kept by the worker that runs it.
LONGEST_ATTEMPT: Final = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Tried:
    """How many attempts another engine made at a step, and when the next is due, in seconds since 1970."""

    attempts: int = 0
    retry_at: float = 0.0


NEVER_TRIED: Final = Tried()


class StepWork:
    """The work of one step: an activity of its name, with the operation's identity as its id."""

    def __init__(
        self, operation: Operation, step: StepDefinition, arguments: RawValue, life: str, tried: Tried
    ) -> None:
        self._operation = operation
        self._step = step
        self._tried = tried
        self._arguments = [arguments, life, *([tried.attempts] if tried.attempts else [])]
        self._running: asyncio.Task[RawValue] | None = None

    def begin(self) -> asyncio.Task[RawValue]:
        """Schedule the activity, once its attempt is due."""
        wait_s = self._tried.retry_at - temporal.time()
        self._running = self._schedule() if wait_s <= 0 else asyncio.create_task(self._schedule_after(wait_s))
        return self._running

    async def _schedule_after(self, seconds: float) -> RawValue:
        await temporal.sleep(seconds)
        return await self._schedule()

    def _schedule(self) -> asyncio.Task[RawValue]:
        return temporal.start_activity(
            self._step.name,
            args=self._arguments,
            activity_id=self._operation.key,
            result_type=RawValue,
            start_to_close_timeout=LONGEST_ATTEMPT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            # Workers count the attempts: those of workers that do not know the step are none of its own.
            retry_policy=RetryPolicy(backoff_coefficient=1.0),
            cancellation_type=temporal.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

    def stop(self) -> None:
        """Cancel it."""
        if self._running is not None:
            self._running.cancel()

    def error(self, error: BaseException) -> BaseException:
        """What the run's code sees of its failure."""
        return StepError.of(failure_of(error)) if isinstance(error, FailureError) else error

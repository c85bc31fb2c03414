"""Steps as Temporal activities: one wrapper that runs whatever step is asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence  # noqa: TC003  # read at run time
from typing import TYPE_CHECKING

from pydantic_core import from_json
from temporalio import activity
from temporalio.common import RawValue  # noqa: TC002  # read at run time

from orchestrator.durable.attempt import Attempt, StepInfo
from orchestrator.durable.errors import Failure
from orchestrator.durable.outcomes import MOST_LOST_ATTEMPTS, Verdict, perform
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.temporal.failures import WORKERS_LOST, detail_of, recorded_error
from orchestrator.durable.temporal.passing_on import PassedOn, passed_on
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.progress import Progress
from orchestrator.durable.temporal.waiting import readable, recorded
from orchestrator.durable.temporal.watching import STORED_AT_ONCE_S

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from temporalio.exceptions import ApplicationError

    from orchestrator.durable.payloads import PayloadRules
    from orchestrator.durable.registry import BoundStep, Registry
    from orchestrator.durable.temporal.watching import Watching

HEARTBEAT_EVERY_S = 1.0
# How long a worker that stops waits for a step that does not stop when asked, such as a thread.
LET_GO_AFTER_S = 10.0

WORKER_STOPPED = Failure(type="WorkerStopped", code="worker_stopped", message="its worker was stopped")

log = logging.getLogger(__name__)


class Activities:
    """The steps of one engine, for its Temporal worker."""

    def __init__(
        self, registry: Registry, threads: Executor, rules: PayloadRules, watching: Watching | None = None
    ) -> None:
        self._registry = registry
        self._threads = threads
        self._rules = rules
        self._watching = watching
        self._told_of_progress = False

    @activity.defn(dynamic=True)
    async def run_step(self, arguments: Sequence[RawValue]) -> RawValue:
        """Make one attempt at the step that the activity type names."""
        try:
            step = self._registry.step(activity.info().activity_type)
        except NotRegisteredError as error:
            raise await _failed(passed_on(error)) from None
        before = PassedOn.before()
        heartbeats = asyncio.create_task(send_heartbeats(*before.taken().details))
        letting_go = asyncio.create_task(_let_go(asyncio.current_task()))
        try:
            number = activity.info().attempt - before.times
            outcome = await self._attempt(step, number, *[await readable(part) for part in arguments])
            if isinstance(outcome, bytes):
                return await recorded(carried(outcome))
            error_to_record = await _failed(outcome)
        except asyncio.CancelledError:
            if worker_stops():
                raise recorded_error(WORKER_STOPPED, retry_after_s=0.0) from None
            raise
        finally:
            heartbeats.cancel()
            letting_go.cancel()
        raise error_to_record

    async def _attempt(
        self, step: BoundStep, number: int, arguments: bytes, life: bytes, tried: bytes = b"0"
    ) -> bytes | Verdict:
        before_here: int = from_json(tried)
        retry = step.definition.retry
        if number > max(retry.attempts - before_here, 1) + MOST_LOST_ATTEMPTS:
            return Verdict(WORKERS_LOST)
        info = activity.info()
        run_id, key = info.workflow_id or "", info.activity_id
        facts = StepInfo(
            run_id=run_id,
            step=step.definition.name,
            operation=key.partition(":")[0],
            attempt=number + before_here,
            idempotency_key=f"{from_json(life)}/{key}",
        )
        if self._watching is None:
            attempt = Attempt(facts, self._show_nobody)
            return await perform(step, arguments, attempt, self._threads, self._rules)
        progress = Progress(self._watching, facts, info.workflow_run_id or "", self._rules)
        return await self._watched(step, arguments, facts, progress)

    async def _watched(
        self, step: BoundStep, arguments: bytes, facts: StepInfo, progress: Progress
    ) -> bytes | Verdict:
        assert self._watching is not None  # noqa: S101  # or nobody would be told
        try:
            attempt = Attempt(facts, progress.report)
            outcome = await perform(step, arguments, attempt, self._threads, self._rules)
        except asyncio.CancelledError:
            await progress.stored(STORED_AT_ONCE_S)
            raise
        if not isinstance(outcome, bytes) and outcome.retry_after_s is not None:
            progress.retrying(outcome.failure, time.time() + outcome.retry_after_s)
        await progress.stored(self._watching.stored_within_s)
        return outcome

    def _show_nobody(self, _data: object) -> None:
        if not self._told_of_progress:
            self._told_of_progress = True
            log.warning(
                "progress() is seen by nobody: it needs event streams, TemporalEngine(streams=…), which "
                "watchers read in all processes"
            )


async def _failed(verdict: Verdict) -> ApplicationError:
    """The error that has the server record a failed attempt, and try again where there is to be another."""
    return recorded_error(verdict.failure, verdict.retry_after_s, await recorded(detail_of(verdict.failure)))


async def send_heartbeats(*details: object) -> None:
    """Tell the server that the worker lives; its answers carry cancels to the step.

    The start itself told it, so a short step tells nothing more.
    """
    while True:
        await asyncio.sleep(HEARTBEAT_EVERY_S)
        activity.heartbeat(*details)


async def _let_go(attempt: asyncio.Task[object] | None) -> None:
    """Cancel an attempt once more that did not stop when its worker did, which lets a thread go."""
    await activity.wait_for_worker_shutdown()
    while True:
        await asyncio.sleep(HEARTBEAT_EVERY_S)
        if worker_stops():  # its time to finish is over
            break
    await asyncio.sleep(LET_GO_AFTER_S)
    if attempt is not None:
        log.warning("step %s did not stop when asked", activity.info().activity_type)
        attempt.cancel()


def worker_stops() -> bool:
    """Whether the activity is cancelled since its worker stops, so that another one is to run it again."""
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown

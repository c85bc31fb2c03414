"""Steps as Temporal activities: one wrapper that runs whatever step is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence  # noqa: TC003  # read at run time
from typing import TYPE_CHECKING

from pydantic_core import from_json
from temporalio import activity
from temporalio.common import RawValue  # noqa: TC002  # read at run time

from orchestrator.core.errors import PayloadTooLargeError
from orchestrator.durable.attempt import Attempt, StepInfo
from orchestrator.durable.errors import Failure
from orchestrator.durable.outcomes import perform
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.temporal.failures import recorded_error
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.unsupported import NotYetOnTemporalError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from orchestrator.durable.outcomes import Verdict
    from orchestrator.durable.registry import BoundStep, Registry

HEARTBEAT_EVERY_S = 1.0

WORKER_STOPPED = Failure(type="WorkerStopped", code="worker_stopped", message="its worker was stopped")

log = logging.getLogger(__name__)


class Activities:
    """The steps of one engine, for its Temporal worker."""

    def __init__(self, registry: Registry, threads: Executor) -> None:
        self._registry = registry
        self._threads = threads
        self._told_of_progress = False

    @activity.defn(dynamic=True)
    async def run_step(self, arguments: Sequence[RawValue]) -> RawValue:
        """Make one attempt at the step that the activity type names."""
        name = activity.info().activity_type
        try:
            outcome = await self._attempt(
                self._registry.step(name), *(part.payload.data for part in arguments)
            )
            if isinstance(outcome, bytes):
                return carried(outcome, f"the result of {name}")
        except (NotRegisteredError, PayloadTooLargeError) as error:
            raise recorded_error(Failure.of(error)) from None
        except asyncio.CancelledError:
            if worker_stops():
                raise recorded_error(WORKER_STOPPED, retry_after_s=0.0) from None
            raise
        raise recorded_error(outcome.failure, outcome.retry_after_s)

    async def _attempt(self, step: BoundStep, arguments: bytes, life: bytes) -> bytes | Verdict:
        info = activity.info()
        run_id, key = info.workflow_id or "", info.activity_id
        facts = StepInfo(
            run_id=run_id,
            step=step.definition.name,
            operation=key.partition(":")[0],
            attempt=info.attempt,
            idempotency_key=f"{from_json(life)}/{key}",
        )
        heartbeats = asyncio.create_task(send_heartbeats())
        try:
            return await perform(step, arguments, Attempt(facts, self._report), self._threads)
        finally:
            heartbeats.cancel()

    def _report(self, _data: object) -> None:
        if not self._told_of_progress:
            self._told_of_progress = True
            log.warning("%s", NotYetOnTemporalError("progress()"))


async def send_heartbeats() -> None:
    """Tell the server that the worker lives; its answers carry cancels to the step."""
    while True:
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT_EVERY_S)


def worker_stops() -> bool:
    """Whether the activity is cancelled since its worker stops, so that another one is to run it again."""
    details = activity.cancellation_details()
    return details is not None and details.worker_shutdown

"""Runs that are to end by a deadline: ``cancel(force_after=…)``.

The deadline is a timer of a small workflow of its own, so it is as durable as the run, and needs no process
but a worker when the time has come.
"""

from __future__ import annotations

import contextlib
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from temporalio import activity
from temporalio import workflow as temporal
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.durable.names import RESERVED
from orchestrator.durable.temporal.reserved import ERRAND_RETRY, ERRAND_TIMEOUT, inner_queue

if TYPE_CHECKING:
    from temporalio.api.workflow.v1 import WorkflowExecutionInfo
    from temporalio.client import Client

FORCE: Final = f"{RESERVED}force"
TERMINATE: Final = f"{RESERVED}terminate"
END_BY: Final = f"{RESERVED}end-by"

# A server's timers refuse zero.
_SHORTEST_TIMER = timedelta(milliseconds=1)


async def end_by(client: Client, run: WorkflowExecutionInfo, end_at: float) -> None:
    """End a run by force at ``end_at``, seconds since 1970, or at a time said before if that is earlier.

    The wish is gone when it has come true, or at its time if the run has ended before.
    """
    run_id, first = run.execution.workflow_id, run.first_run_id
    await client.start_workflow(
        FORCE,
        args=[run_id, first],
        id=f"{FORCE}:{run_id}:{first}",
        task_queue=inner_queue(run.task_queue),
        start_signal=END_BY,
        start_signal_args=[end_at],
    )


@temporal.defn(name=FORCE, sandboxed=False)
class Force:
    """Ends one run at the earliest of the times that it was told."""

    def __init__(self) -> None:
        self._end_at = math.inf

    @temporal.run
    async def run(self, run_id: str, first: str) -> None:
        """Wait for the time, then end the run whose first history is ``first``."""
        await temporal.wait_condition(lambda: self._end_at < math.inf)
        while (left_s := self._end_at - temporal.time()) > 0:
            await self._told_sooner(max(timedelta(seconds=left_s), _SHORTEST_TIMER))
        await temporal.execute_activity(
            TERMINATE, args=[run_id, first], start_to_close_timeout=ERRAND_TIMEOUT, retry_policy=ERRAND_RETRY
        )

    @temporal.signal(name=END_BY)
    def end_by(self, end_at: float) -> None:
        """Take another time, in seconds since 1970; the earliest counts."""
        self._end_at = min(self._end_at, end_at)

    async def _told_sooner(self, within: timedelta) -> None:
        known = self._end_at
        with contextlib.suppress(TimeoutError):
            await temporal.wait_condition(lambda: self._end_at < known, timeout=within)


@activity.defn(name=TERMINATE)
async def terminate(run_id: str, first: str) -> None:
    """End a run, if it has not ended, without its code."""
    run = activity.client().get_workflow_handle(run_id, first_execution_run_id=first)
    try:
        await run.terminate(reason="it did not end within the time that its cancel gave it")
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise

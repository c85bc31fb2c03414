"""Telling of runs when they end, by the worker on which they do.

Their code says so as it returns, not in a replay. A run that the server ends without its code, by force or
after its time, is told by nobody; one whose worker dies in that very moment may be told by the next one too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from orchestrator.durable.runs import RunInfo, Status

if TYPE_CHECKING:
    from collections.abc import Callable


class TellEndings(Interceptor):
    """Calls ``on_ended`` with each run that ends on this worker, and the id of its first history."""

    def __init__(self, on_ended: Callable[[RunInfo, str], None]) -> None:
        self._on_ended = on_ended

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: ARG002  # the SDK's signature
    ) -> type[WorkflowInboundInterceptor]:
        """What is put around each run's code; Temporal makes one of it for each run."""
        on_ended = self._on_ended

        class Watched(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
                status = Status.COMPLETED
                try:
                    return await super().execute_workflow(input)
                except (FailureError, asyncio.CancelledError) as error:
                    status = Status.CANCELLED if is_cancelled_exception(error) else Status.FAILED
                    raise
                except BaseException:
                    status = Status.RUNNING  # stuck, or going on in a new history
                    raise
                finally:
                    if status.closed and not workflow.unsafe.is_replaying() and not _is_evicted():
                        on_ended(_ended_as(status), workflow.info().first_execution_run_id)

        return Watched


def _ended_as(status: Status) -> RunInfo:
    info = workflow.info()
    return RunInfo(
        id=info.workflow_id,
        workflow=info.workflow_type,
        status=status,
        created_at=info.workflow_start_time,
        closed_at=workflow.now(),
    )


def _is_evicted() -> bool:
    """Whether the run merely leaves this worker's memory: then Temporal lets it do nothing any more."""
    try:
        workflow.random()
    except BaseException:  # noqa: BLE001  # the SDK's own, which it does not export
        return True
    return False

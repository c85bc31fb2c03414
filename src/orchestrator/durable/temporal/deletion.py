"""Deleting an ended run.

A server takes up to a minute to forget a run. Until then a workflow that is nothing takes the run's place
under its id, at one moment for everybody: who finds it there knows that the run is gone and the id is free.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.core.errors import ConflictError
from orchestrator.durable.temporal.failures import explained
from orchestrator.durable.temporal.standing import DELETED, describe, status_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from temporalio.client import Client

# It ends by itself where whoever deletes is killed before ending it.
PLACEHOLDER_LASTS: Final = timedelta(seconds=3)
# Nobody works on it.
PLACEHOLDER_QUEUE: Final = DELETED


async def delete(client: Client, run_id: str, forget: Callable[[str], Awaitable[object]]) -> None:
    """Forget an ended run. ``forget`` is called with its first history, while nobody else can have its id.

    Raises:
        NotFoundError: there is none. ConflictError: it has not ended. UnavailableError: no server answers.
    """
    description = await describe(client, run_id)
    info = description.workflow_execution_info
    if not status_of(description).closed:
        raise ConflictError(f"run {run_id} has not ended; cancel it first", code="run_open")
    histories = await _histories(client, run_id, info.execution.run_id)
    try:
        placeholder = await client.start_workflow(
            DELETED,
            id=run_id,
            task_queue=PLACEHOLDER_QUEUE,
            execution_timeout=PLACEHOLDER_LASTS,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
    except WorkflowAlreadyStartedError:
        return  # somebody else deletes it at this moment, or did and began another one
    except RPCError as error:
        raise explained(error) from error
    try:
        for history in histories:
            await _forget(client, run_id, history)
        await forget(info.first_run_id)
    finally:
        # An open one is ended with what it leaves.
        await _forget(client, run_id, placeholder.first_execution_run_id or "")


async def _histories(client: Client, run_id: str, last: str) -> list[str]:
    """All histories of a run, the last one first, as far as the server knows them."""
    histories = []
    history = last
    while history:
        histories.append(history)
        events = client.get_workflow_handle(run_id, run_id=history).fetch_history_events(page_size=1)
        try:
            began = await anext(events)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise explained(error) from error
            return histories[:-1]
        history = began.workflow_execution_started_event_attributes.continued_execution_run_id
    return histories


async def _forget(client: Client, run_id: str, history: str) -> None:
    execution = WorkflowExecution(workflow_id=run_id, run_id=history)
    request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
    try:
        await client.workflow_service.delete_workflow_execution(request, retry=True)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise explained(error) from error

"""Following a child run that its parent did not begin just now: one id is one run, whoever asks for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue  # Temporal reads annotations

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.errors import Failure
from orchestrator.durable.temporal.activities import WORKER_STOPPED, send_heartbeats, worker_stops
from orchestrator.durable.temporal.children import FOLLOW, IS_FREE
from orchestrator.durable.temporal.failures import failure_of_child, recorded_error
from orchestrator.durable.temporal.standing import INPUT_DIGEST, describe, memo_of

if TYPE_CHECKING:
    from temporalio.api.workflow.v1 import WorkflowExecutionInfo
    from temporalio.client import Client, WorkflowHandle

# A child that was asked for at the same time is there within a moment.
LOOK_AGAIN_S: Final = 0.1


@activity.defn(name=FOLLOW)
async def follow(child_id: str, digest: str, is_there: bool = False) -> RawValue:  # noqa: FBT001, FBT002  # activities take positions
    """Wait for the end of a child and give its result; a cancel of this cancels the child.

    ``is_there`` says that some run was seen to have the child's id; otherwise one is about to begin.

    Raises:
        ApplicationError: it ended otherwise, or is another run, or was deleted; the failure that is recorded
            says which.
    """
    heartbeats = asyncio.create_task(send_heartbeats())
    try:
        client = activity.client()
        found = await _found(client, child_id, is_there=is_there)
        is_child = found.parent_execution.workflow_id == activity.info().workflow_id
        if not is_child or await memo_of(client, found, INPUT_DIGEST) != digest:
            raise recorded_error(_taken(child_id))
        return await _end(client.get_workflow_handle(child_id, result_type=RawValue))
    except WorkflowFailureError as error:
        raise recorded_error(failure_of_child(child_id, error)) from None
    finally:
        heartbeats.cancel()


async def _found(client: Client, child_id: str, *, is_there: bool) -> WorkflowExecutionInfo:
    while True:
        try:
            return (await describe(client, child_id)).workflow_execution_info
        except NotFoundError:
            await asyncio.sleep(LOOK_AGAIN_S)
            if is_there:
                told = f"run {child_id} was deleted"
                raise recorded_error(Failure(type=IS_FREE, code="is_free", message=told)) from None


async def _end(child: WorkflowHandle[object, RawValue]) -> RawValue:
    try:
        return await child.result()
    except asyncio.CancelledError:
        if worker_stops():
            raise recorded_error(WORKER_STOPPED, retry_after_s=0.0) from None
        await child.cancel()
        await asyncio.wait([asyncio.create_task(child.result())])
        raise


def _taken(child_id: str) -> Failure:
    told = (
        f"run {child_id!r} exists and is no child of run {activity.info().workflow_id!r} with this workflow "
        "and input; give another id"
    )
    return Failure(type="ConflictError", code="run_conflict", message=told)

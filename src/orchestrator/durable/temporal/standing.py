"""Where a run stands, from what the server says of it.

The server is asked without the SDK's own description, which cannot read a run that an operator paused.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.api.enums.v1 import WorkflowExecutionStatus as Raw
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.service import RPCError

from orchestrator.core.errors import NotFoundError
from orchestrator.durable.names import RESERVED
from orchestrator.durable.runs import RunInfo, Status
from orchestrator.durable.temporal.failures import explained_of_run
from orchestrator.durable.temporal.pausing import PAUSE, PAUSED, RESUME
from orchestrator.durable.temporal.payloads import in_the_open

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.api.workflow.v1 import WorkflowExecutionInfo
    from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
    from temporalio.client import Client

# What the memo of each run says.
INPUT_DIGEST: Final = "input_digest"
OWNER: Final = "owner"
TAGS: Final = "tags"
# The type of what takes the place of a run that was deleted, until the server has forgotten it too.
DELETED: Final = f"{RESERVED}deleted"

STATUSES: Final = {
    Raw.WORKFLOW_EXECUTION_STATUS_RUNNING: Status.RUNNING,
    Raw.WORKFLOW_EXECUTION_STATUS_COMPLETED: Status.COMPLETED,
    Raw.WORKFLOW_EXECUTION_STATUS_FAILED: Status.FAILED,
    Raw.WORKFLOW_EXECUTION_STATUS_CANCELED: Status.CANCELLED,
    Raw.WORKFLOW_EXECUTION_STATUS_TERMINATED: Status.TERMINATED,
    Raw.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: Status.TIMED_OUT,
    Raw.WORKFLOW_EXECUTION_STATUS_PAUSED: Status.PAUSED,
}


async def describe(client: Client, run_id: str, history: str = "") -> DescribeWorkflowExecutionResponse:
    """What the server says of a run; of one of its histories, if that one's id is given.

    Raises:
        NotFoundError: there is none, or it was deleted. UnavailableError: the server does not answer.
    """
    execution = WorkflowExecution(workflow_id=run_id, run_id=history)
    request = DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=execution)
    try:
        description = await client.workflow_service.describe_workflow_execution(request, retry=True)
    except RPCError as error:
        raise explained_of_run(run_id, error) from error
    if description.workflow_execution_info.type.name == DELETED:
        raise NotFoundError(f"there is no run {run_id!r}")
    return description


def memo_of_new(digest: str, owner: str, tags: Mapping[str, str], *, is_paused: bool) -> dict[str, Any]:
    """The memo with which a run begins."""
    paused = {PAUSED: True} if is_paused else {}
    return {INPUT_DIGEST: digest, OWNER: in_the_open(owner), TAGS: in_the_open(dict(tags)), **paused}


async def memo_of(client: Client, raw: WorkflowExecutionInfo, key: str, default: Any = None) -> Any:
    """What the memo of a run says under a key."""
    if key not in raw.memo.fields:
        return default
    (value,) = await client.data_converter.decode([raw.memo.fields[key]])
    return value


async def info_of(
    client: Client, description: DescribeWorkflowExecutionResponse, failure: str = ""
) -> RunInfo:
    """The facts of a run for people and programs; ``failure`` says how it failed, if it did."""
    raw = description.workflow_execution_info
    parent = raw.parent_execution.workflow_id
    return RunInfo(
        id=raw.execution.workflow_id,
        workflow=raw.type.name,
        status=status_of(description),
        created_at=await _created_at(client, raw),
        closed_at=raw.close_time.ToDatetime(UTC) if raw.HasField("close_time") else None,
        owner=await memo_of(client, raw, OWNER, ""),
        tags=await memo_of(client, raw, TAGS, {}),
        reason=failure,
        parent="" if parent.startswith(RESERVED) else parent,
    )


def status_of(description: DescribeWorkflowExecutionResponse) -> Status:
    """Where the run stands. One that waits for nothing but time, signals and children is waiting."""
    info = description.workflow_execution_info
    status = STATUSES[info.status]
    if status is not Status.RUNNING:
        return status
    if PAUSED in info.memo.fields:
        return Status.PAUSED
    is_idle = not description.pending_activities and not description.HasField("pending_workflow_task")
    return Status.WAITING if is_idle else status


async def status_now(client: Client, description: DescribeWorkflowExecutionResponse) -> Status:
    """The same, with what the run was asked that its code has not heard of yet."""
    status = status_of(description)
    if not description.HasField("pending_workflow_task") or status.closed:
        return status
    execution = description.workflow_execution_info.execution
    for event in await unheard(client, execution):
        if event.event_type == Kind.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
            return Status.RUNNING
        name = event.workflow_execution_signaled_event_attributes.signal_name
        if name in {PAUSE, RESUME}:
            return Status.PAUSED if name == PAUSE else Status.RUNNING
    # The code has heard of everything by now, so its memo says it; the run may go on in another history.
    return status_of(await describe(client, execution.workflow_id))


async def unheard(client: Client, execution: WorkflowExecution) -> list[HistoryEvent]:
    """What a history has since the last time that the run's code had a turn, the latest first."""
    events: list[HistoryEvent] = []
    token = b""
    while True:
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=client.namespace, execution=execution, next_page_token=token
        )
        page = await client.workflow_service.get_workflow_execution_history_reverse(request, retry=True)
        for event in page.history.events:
            if event.event_type == Kind.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return events
            events.append(event)
        token = page.next_page_token
        if not token:
            return events


async def _created_at(client: Client, raw: WorkflowExecutionInfo) -> datetime:
    """When the first of the run's histories began, as long as the server knows that one."""
    if raw.first_run_id not in {"", raw.execution.run_id}:
        try:
            first = await describe(client, raw.execution.workflow_id, raw.first_run_id)
        except NotFoundError:
            pass
        else:
            return first.workflow_execution_info.start_time.ToDatetime(UTC)
    return raw.start_time.ToDatetime(UTC)

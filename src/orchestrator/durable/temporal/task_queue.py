"""What a Temporal server knows of a task queue: how many of its runs are open, and who works on them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from orchestrator.durable.names import RESERVED
from orchestrator.durable.temporal.failures import explained

if TYPE_CHECKING:
    from temporalio.client import Client

# A worker asks again after a minute at most; the server remembers those that are gone for five.
ASKED_WITHIN: Final = timedelta(seconds=75)
COUNT_LIMIT: Final = timedelta(seconds=3)


async def open_runs(client: Client, task_queue: str) -> int:
    """How many runs have not ended, as the server's index has it.

    Raises:
        RPCError: the server does not answer in time.
    """
    return (await client.count_workflows(_open_ones(task_queue), rpc_timeout=COUNT_LIMIT)).count


async def ids_of_open_runs(client: Client, task_queue: str) -> list[str]:
    """The ids of the runs that have not ended, as the server's index has it.

    Raises:
        UnavailableError: the server does not answer.
    """
    try:
        return [run.id async for run in client.list_workflows(_open_ones(task_queue))]
    except RPCError as error:
        raise explained(error) from error


async def is_worked_on(client: Client, task_queue: str) -> bool:
    """Whether a worker asked for runs of the task queue a moment ago.

    Raises:
        UnavailableError: the server does not answer.
    """
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    try:
        found = await client.workflow_service.describe_task_queue(request, retry=True)
    except RPCError as error:
        raise explained(error) from error
    since = datetime.now(UTC) - ASKED_WITHIN
    return any(poller.last_access_time.ToDatetime(UTC) > since for poller in found.pollers)


def _open_ones(task_queue: str) -> str:
    ours = f"TaskQueue = '{task_queue}' AND NOT WorkflowType STARTS_WITH '{RESERVED}'"
    return f"{ours} AND ExecutionStatus IN ('Running', 'Paused')"

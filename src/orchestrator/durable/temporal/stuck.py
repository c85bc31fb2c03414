"""Runs that stand still, since their code does not fit what was recorded.

Temporal fails the workflow task of such a run and tries it again, ever more seldom. Why it does not fit is
found by a rehearsal: the history is replayed on the code at hand, which may have been mended meanwhile.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from orchestrator.durable.errors import MismatchError
from orchestrator.durable.names import RESERVED
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.retelling import unexpected
from orchestrator.durable.temporal.machine import PUBLISHED
from orchestrator.durable.temporal.pausing import RESUME
from orchestrator.durable.temporal.sdk_runtime import quiet_runtime
from orchestrator.durable.temporal.standing import describe, unheard
from orchestrator.durable.temporal.travelling import open_payloads, opened
from orchestrator.durable.temporal.workflow_type import workflow_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from temporalio.api.common.v1 import WorkflowExecution
    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
    from temporalio.client import Client
    from temporalio.converter import DataConverter

    from orchestrator.durable.registry import Registry
    from orchestrator.durable.temporal.machine import TemporalMachine
    from orchestrator.durable.temporal.terms import Terms
    from orchestrator.durable.workflows import Workflow

# How the SDK's core begins what it says where code and history do not fit.
_DOES_NOT_FIT: Final = "[TMPRL1100]"
# How it names the recorded event that the code has no place for.
_EVENT: Final = re.compile(r"\b(?:event_)?id: (\d+)")
_ACTIVITY: Final = re.compile(r"scheduled event '([^']*)' does not match activity id")


async def mismatch_of(
    client: Client, registry: Registry, terms: Terms, description: DescribeWorkflowExecutionResponse
) -> MismatchError | None:
    """Why the run is stuck; None if it is not, or would not be with the code at hand."""
    if not description.HasField("pending_workflow_task"):
        return None
    info = description.workflow_execution_info
    events = await unheard(client, info.execution)
    failed = next(
        (event for event in events if event.event_type == Kind.EVENT_TYPE_WORKFLOW_TASK_FAILED), None
    )
    if failed is None and not any(_asks_to_try(event) for event in events):
        return None
    told = "" if failed is None else failed.workflow_task_failed_event_attributes.failure.message
    try:
        workflow = registry.workflow(info.type.name)
    except NotRegisteredError:
        return MismatchError(told) if told else None
    return await rehearsed(client, workflow, terms, info.execution, told)


async def fits(client: Client, registry: Registry, terms: Terms, run_id: str) -> bool:
    """Whether the code at hand fits the run's history, also where the run had no turn on it yet."""
    info = (await describe(client, run_id)).workflow_execution_info
    try:
        workflow = registry.workflow(info.type.name)
    except NotRegisteredError:
        return True  # for all that is known here
    return await rehearsed(client, workflow, terms, info.execution) is None


def _asks_to_try(event: HistoryEvent) -> bool:
    """Whether somebody asked for another try, of which nothing is known yet."""
    return event.workflow_execution_signaled_event_attributes.signal_name == RESUME


async def rehearsed(
    client: Client, workflow: Workflow[Any, Any], terms: Terms, execution: WorkflowExecution, told: str = ""
) -> MismatchError | None:
    """What stands against this code going on from the run's history; ``told`` is what did so before."""
    handle = client.get_workflow_handle(execution.workflow_id, run_id=execution.run_id)
    history = await handle.fetch_history()
    machines: list[TemporalMachine] = []

    def observe(machine: TemporalMachine) -> None:
        machine.watch()
        machines.append(machine)

    replayer = Replayer(
        workflows=[workflow_type(workflow, terms, observe)],
        data_converter=client.data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),
        runtime=quiet_runtime(),
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    machine = machines[-1] if machines else None
    # The replayer does not count as a failure that our own code failed the task.
    if machine is not None and machine.mismatch is not None:
        return machine.mismatch
    if result.replay_failure is None:
        return None
    said = str(result.replay_failure)
    if not isinstance(result.replay_failure, NondeterminismError) and _DOES_NOT_FIT not in said:
        return MismatchError(told or said)
    key = await _operation_in(said, history.events, client.data_converter)
    if not key or machine is None:
        return MismatchError(f"the code does not fit the history: {told or said}")
    return unexpected(key, machine.asks)


async def operations_of(client: Client, execution: WorkflowExecution) -> list[str]:
    """The operations that a run's history tells of, in the order in which they began."""
    found: dict[str, None] = {}
    handle = client.get_workflow_handle(execution.workflow_id, run_id=execution.run_id)
    async for event in opened(handle, client.data_converter):
        key = _key(event)
        if key and not key.startswith(RESERVED):
            found[key] = None
    return list(found)


async def _operation_in(said: str, events: Iterable[HistoryEvent], data_converter: DataConverter) -> str:
    """The recorded operation that the SDK's core speaks of; empty if it names none."""
    if named := _ACTIVITY.search(said):
        return named.group(1)
    numbered = _EVENT.search(said)
    number = int(numbered.group(1)) if numbered else 0
    for event in events:
        if event.event_id == number:
            await open_payloads(event, data_converter)
            return _key(event)
    return ""


def _key(event: HistoryEvent) -> str:
    """The operation that a recorded event is of; empty if none."""
    match event.event_type:
        case Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            return event.activity_task_scheduled_event_attributes.activity_id
        case Kind.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED:
            memo = event.workflow_properties_modified_event_attributes.upserted_memo.fields
            return str(from_json(memo[PUBLISHED].data)["key"]) if PUBLISHED in memo else ""
        case _ if event.user_metadata.HasField("summary"):
            return str(from_json(event.user_metadata.summary.data))
        case _:
            return ""

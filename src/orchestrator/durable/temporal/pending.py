"""What a run waits for that has no places yet: its gate knows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError

from orchestrator.durable.slots import waits_for
from orchestrator.durable.temporal.gates import REASON
from orchestrator.durable.temporal.places import PENDING, Claim
from orchestrator.durable.temporal.standing import memo_of

if TYPE_CHECKING:
    from temporalio.api.workflow.v1 import WorkflowExecutionInfo
    from temporalio.client import Client

# A gate answers at once where somebody works. Where nobody does, the limits are named without their counts.
ANSWER_WITHIN: Final = timedelta(seconds=5)


async def reason_of(client: Client, raw: WorkflowExecutionInfo) -> str:
    """What an open run waits for, in words; empty if it has its places, or needs none."""
    said = await memo_of(client, raw, PENDING)
    if said is None:
        return ""
    claim = Claim.model_validate(said)
    gate = client.get_workflow_handle(claim.gate)
    try:
        reason: str | None = await gate.query(
            REASON, raw.first_run_id or raw.execution.run_id, rpc_timeout=ANSWER_WITHIN
        )
    except (RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
        reason = None
    return waits_for(claim.slots) if reason is None else reason

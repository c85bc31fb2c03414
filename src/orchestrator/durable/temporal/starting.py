"""How a run begins on a cluster, whoever starts it."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.durable.runs import NORMAL_PRIORITY, identity_of
from orchestrator.durable.temporal.beginnings import PLAIN_BEGINNING, arguments
from orchestrator.durable.temporal.gates import Request, ask
from orchestrator.durable.temporal.places import PENDING, Claim
from orchestrator.durable.temporal.reserved import inner_queue
from orchestrator.durable.temporal.search import attributes
from orchestrator.durable.temporal.standing import INPUT_DIGEST, describe, memo_of, memo_of_new

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.client import Client

    from orchestrator.durable.registry import Registry
    from orchestrator.durable.temporal.beginnings import Beginning
    from orchestrator.durable.workflows import Workflow

# A run that is being deleted keeps its id from others for a moment.
LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is to begin on recorded input."""

    id: str
    workflow: Workflow[Any, Any]
    data: bytes
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = NORMAL_PRIORITY
    beginning: Beginning = PLAIN_BEGINNING
    # What tells a fork from other runs of the same input.
    origin: bytes = b""

    # The digest of what a run that was moved here was first started with, if another input than ``data``.
    first_digest: str = ""

    @property
    def digest(self) -> str:
        """What tells workflows and inputs apart."""
        if self.first_digest:
            return self.first_digest
        identity = identity_of(self.workflow.type_name, self.data, self.origin)
        return hashlib.sha256(identity).hexdigest()


async def begin(client: Client, task_queue: str, registry: Registry, run: NewRun) -> None:
    """Begin a run, or find it begun.

    Raises:
        ConflictError: another workflow or input has this id.
        InvalidInputError: its owner or tags cannot be found by, or a limit finds no key in its input.
        RPCError: the server refuses it, or does not answer.
    """
    claim = Claim.of(registry, task_queue, run.workflow, run.data)
    start = partial(_started, client, task_queue, run, claim)
    history = await start(WorkflowIDReusePolicy.REJECT_DUPLICATE)
    while history is None:
        if await _is_same(client, run):
            return
        # What stood in for a deleted run ended by force. Another run that others begin here at this moment is
        # not begun again when it completes before we come.
        history = await start(WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY)
        if history is None:
            await asyncio.sleep(LOOK_AGAIN_S)
    await _ask(client, task_queue, run, claim, history)


async def _started(
    client: Client, task_queue: str, run: NewRun, claim: Claim, reuse: WorkflowIDReusePolicy
) -> str | None:
    """The first history of a run that began with this; None where its id is taken."""
    pending = {PENDING: claim.model_dump(mode="json")} if claim.takes else {}
    try:
        started = await client.start_workflow(
            run.workflow.type_name,
            args=arguments(run.data, run.beginning),
            id=run.id,
            task_queue=task_queue,
            priority=Priority(priority_key=run.priority),
            id_reuse_policy=reuse,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            memo={
                **memo_of_new(run.digest, run.owner, run.tags, is_paused=run.beginning.is_paused),
                **pending,
            },
            search_attributes=attributes(run.owner, run.tags),
        )
    except WorkflowAlreadyStartedError:
        return None
    return started.first_execution_run_id or ""


async def _ask(client: Client, task_queue: str, run: NewRun, claim: Claim, history: str) -> None:
    """Ask for the run's places, as it will too, before another run is started: who comes first is first."""
    if claim.takes:
        request = Request(run_id=run.id, history=history, priority=run.priority, takes=claim.takes)
        await ask(client, claim.gate, inner_queue(task_queue), request)


async def _is_same(client: Client, run: NewRun) -> bool:
    """Whether the run of that id is what somebody wants to start; False where it was deleted.

    Raises:
        ConflictError: it is another one.
    """
    try:
        raw = (await describe(client, run.id)).workflow_execution_info
    except NotFoundError:
        return False
    if await memo_of(client, raw, INPUT_DIGEST) != run.digest:
        raise ConflictError(f"run {run.id!r} exists with another workflow or input")
    return True

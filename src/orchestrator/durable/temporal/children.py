"""Child runs, as a parent's code on Temporal asks for them."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypedDict

from temporalio import workflow as temporal
from temporalio.common import RawValue, RetryPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, FailureError, WorkflowAlreadyStartedError

from orchestrator.durable.errors import ChildError
from orchestrator.durable.names import RESERVED
from orchestrator.durable.runs import identity_of
from orchestrator.durable.temporal.failures import failure_of, failure_of_child
from orchestrator.durable.temporal.reserved import inner_queue
from orchestrator.durable.temporal.search import attributes
from orchestrator.durable.temporal.standing import OWNER, memo_of_new

if TYPE_CHECKING:
    from temporalio.common import Priority, TypedSearchAttributes

    from orchestrator.durable.machine import Operation
    from orchestrator.durable.workflows import Workflow

# The activity that follows a child which its parent asks for once more.
FOLLOW: Final = f"{RESERVED}follow"
# A worker that is lost while it follows a child is noticed within this time.
FOLLOWING_TIMEOUT: Final = timedelta(seconds=3)
# What following fails with where the child's id turns out to be free: the run that had it was deleted.
IS_FREE: Final = f"{RESERVED}is-free"
LONGEST_LIFE: Final = timedelta(days=3650)


class ChildOptions(TypedDict):
    """How the server is to start a child, beside its type, id and arguments."""

    memo: dict[str, Any]
    priority: Priority
    search_attributes: TypedSearchAttributes


def child_options(digest: str, *, is_paused: bool) -> ChildOptions:
    """A child has the owner and priority of its parent, and no tags."""
    owner = temporal.memo_value(OWNER, default="", type_hint=str)
    return {
        "memo": memo_of_new(digest, owner, {}, is_paused=is_paused),
        "priority": temporal.info().priority,
        "search_attributes": attributes(owner, {}),
    }


class Child:
    """The work of one child, or of one that was begun by another operation of its parent."""

    def __init__(
        self,
        operation: Operation,
        workflow: Workflow[Any, Any],
        data: bytes,
        given: list[RawValue],
        child_id: str,
        *,
        is_known: bool,
        is_paused: bool,
    ) -> None:
        self._operation = operation
        self._workflow = workflow
        self._child_id = child_id
        self._is_known = is_known
        self._arguments = given
        self._is_paused = is_paused
        self._digest = hashlib.sha256(identity_of(workflow.type_name, data)).hexdigest()
        self._running: asyncio.Task[RawValue] | None = None
        self._is_unwanted = False

    def begin(self) -> asyncio.Task[RawValue]:
        """Begin the child, or follow it if it was begun."""
        return asyncio.create_task(self._run())

    def stop(self) -> None:
        """Cancel it. One that is just being begun is cancelled once it is there."""
        self._is_unwanted = True
        if self._running is not None:
            self._running.cancel()

    def error(self, error: BaseException) -> BaseException:
        """What the parent's code sees of its end."""
        if not isinstance(error, FailureError):
            return error
        return ChildError.of(failure_of_child(self._child_id, error))

    async def _run(self) -> RawValue:
        if self._is_known:
            return await self._end_of(self._follow(is_there=False))
        reuse = WorkflowIDReusePolicy.REJECT_DUPLICATE
        while True:
            try:
                return await self._end_of(await self._start(reuse))
            except WorkflowAlreadyStartedError:
                pass
            try:
                return await self._end_of(self._follow(is_there=True))
            except ActivityError as error:
                if failure_of(error).type != IS_FREE:
                    raise
            # What stands in for a deleted run ends by force.
            reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY

    async def _end_of(self, running: asyncio.Task[RawValue]) -> RawValue:
        self._running = running
        if self._is_unwanted:
            running.cancel()
        return await running

    async def _start(self, reuse: WorkflowIDReusePolicy) -> asyncio.Task[RawValue]:
        return await temporal.start_child_workflow(
            self._workflow.type_name,
            args=self._arguments,
            id=self._child_id,
            result_type=RawValue,
            cancellation_type=temporal.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=temporal.ParentClosePolicy.REQUEST_CANCEL,
            id_reuse_policy=reuse,
            static_summary=self._operation.key,
            **child_options(self._digest, is_paused=self._is_paused),
        )

    def _follow(self, *, is_there: bool) -> asyncio.Task[RawValue]:
        return temporal.start_activity(
            FOLLOW,
            args=[self._child_id, self._digest, is_there],
            activity_id=self._operation.key,
            task_queue=inner_queue(temporal.info().task_queue),
            result_type=RawValue,
            start_to_close_timeout=LONGEST_LIFE,
            heartbeat_timeout=FOLLOWING_TIMEOUT,
            retry_policy=RetryPolicy(backoff_coefficient=1.0),
            cancellation_type=temporal.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )

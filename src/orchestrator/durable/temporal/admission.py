"""How a run comes to its places before its code begins."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from temporalio import activity
from temporalio import workflow as temporal
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, is_cancelled_exception

from orchestrator.core.errors import InvalidInputError
from orchestrator.durable.errors import Failure
from orchestrator.durable.limits import Slot
from orchestrator.durable.names import RESERVED
from orchestrator.durable.temporal.failures import failure_of, recorded_error
from orchestrator.durable.temporal.gates import Request, ask
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.places import PENDING, Claim
from orchestrator.durable.temporal.reserved import (
    ERRAND_RETRY,
    ERRAND_TIMEOUT,
    inner_queue,
    queue_within,
)
from orchestrator.durable.temporal.unreadable import data_of

if TYPE_CHECKING:
    from orchestrator.durable.registry import Registry
    from orchestrator.durable.workflows import Workflow

CLAIM: Final = f"{RESERVED}claim"
# A gate may have lost a run, if too many wait or an operator ended it. Otherwise this changes nothing.
ASK_AGAIN: Final = timedelta(hours=1)


class Admission:
    """Whether a run's code may begin, and the places that the run and its ancestors hold then."""

    def __init__(self, *, held: tuple[Slot, ...], takes: tuple[Slot, ...] | None) -> None:
        self.held = held
        self.takes = takes or ()
        self.is_open = takes is not None
        self._is_admitted = False

    @property
    def places(self) -> tuple[Slot, ...]:
        """What a child need not take again."""
        return (*self.held, *self.takes)

    def admit(self) -> None:
        """Let the code begin: the run has its places, which it may be told before it has asked for them."""
        self._is_admitted = True

    async def wait(self, workflow: Workflow[Any, Any], data: bytes) -> None:
        """Ask for the places that the run needs beside those of its ancestors, and wait for them.

        Raises:
            ApplicationError: a limit finds no key in the input.
        """
        if not workflow.limits:
            self.is_open = True
        if self.is_open:
            return
        claim = await self._claim(workflow, data)
        self.takes = claim.slots
        if claim.takes:
            if PENDING not in temporal.memo():  # a child's parent does not know its gate
                temporal.upsert_memo({PENDING: claim.model_dump(mode="json")})
            while not await self._is_admitted_within(ASK_AGAIN):
                await self._claim(workflow, data)
            temporal.upsert_memo({PENDING: None})
        self.is_open = True

    async def _is_admitted_within(self, time: timedelta) -> bool:
        with contextlib.suppress(TimeoutError):
            await temporal.wait_condition(lambda: self._is_admitted, timeout=time)
        return self._is_admitted

    async def _claim(self, workflow: Workflow[Any, Any], data: bytes) -> Claim:
        try:
            claim: RawValue = await temporal.execute_activity(
                CLAIM,
                task_queue=inner_queue(temporal.info().task_queue),
                args=[
                    workflow.type_name,
                    carried(data),
                    [list(slot) for slot in self.held],
                    temporal.info().priority.priority_key or 0,
                ],
                result_type=RawValue,
                start_to_close_timeout=ERRAND_TIMEOUT,
                retry_policy=ERRAND_RETRY,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            raise recorded_error(failure_of(error)) from None
        return Claim.model_validate_json(data_of(claim))


class Claiming:
    """What runs ask of their gates, for the workflows of one engine."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @activity.defn(name=CLAIM)
    async def claim(
        self, type_name: str, data: RawValue, held: list[list[str | None]], priority: int
    ) -> RawValue:
        """Ask for the places of the run that this is a part of, and give its claim."""
        info = activity.info()
        task_queue = queue_within(info.task_queue)
        workflow = self._registry.workflow(type_name)
        ancestors = {Slot(limit or "", key) for limit, key in held}
        try:
            claim = Claim.of(self._registry, task_queue, workflow, data_of(data), ancestors)
        except InvalidInputError as error:
            raise recorded_error(Failure.of(error)) from None
        if claim.takes:
            request = Request(
                run_id=info.workflow_id or "",
                history=info.workflow_run_id or "",
                priority=priority,
                takes=claim.takes,
            )
            await ask(activity.client(), claim.gate, info.task_queue, request)
        return carried(claim.model_dump_json().encode())

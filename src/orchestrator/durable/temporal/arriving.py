"""Runs and schedules that move to Temporal from another engine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from temporalio.service import RPCError, RPCStatusCode

from orchestrator.core.errors import InvalidInputError, PayloadTooLargeError
from orchestrator.durable.schedules import ScheduleStatus
from orchestrator.durable.temporal.beginnings import Beginning, CarriedPrefix, MovedChild, arguments
from orchestrator.durable.temporal.failures import explained
from orchestrator.durable.temporal.payloads import MAX_CARRIED_BYTES
from orchestrator.durable.temporal.schedule_settings import Kept, Settings
from orchestrator.durable.temporal.scheduling import keep
from orchestrator.durable.temporal.search import attributes
from orchestrator.durable.temporal.starting import NewRun, begin

if TYPE_CHECKING:
    from temporalio.client import Client

    from orchestrator.durable.moving import OpenRun, OpenSchedule
    from orchestrator.durable.registry import Registry
    from orchestrator.durable.temporal.terms import Terms


class Arrivals:
    """The destination of a move: one open engine."""

    def __init__(  # what an open engine is made of
        self,
        client: Client,
        task_queue: str,
        registry: Registry,
        terms: Terms,
        place: str,
    ) -> None:
        self._terms = terms
        self._client = client
        self._task_queue = task_queue
        self._registry = registry
        self.place = place

    def check(self, run: OpenRun) -> None:
        """Find out whether Temporal could take a run.

        Raises:
            NotRegisteredError: the engine was not given its workflow.
            InvalidInputError: its owner or tags cannot be found by.
            PayloadTooLargeError: what it begins with is more than Temporal carries.
        """
        self._registry.workflow(run.workflow)
        attributes(run.owner, run.tags)
        _, beginning = arguments(run.data, _beginning_of(run))
        size = len(beginning.payload.data)
        if size > MAX_CARRIED_BYTES and not self._terms.has_store:
            raise PayloadTooLargeError(
                f"what it recorded takes {size:,} bytes, and Temporal carries at most {MAX_CARRIED_BYTES:,}; "
                "give the engine a store for large values (value_store=…, for the service payloads.store_dir)"
            )

    async def take(self, run: OpenRun) -> None:
        """Begin a run with its family, or find it begun. Its children begin when its code asks for them.

        Raises:
            ConflictError: another run has its id.
            InvalidInputError: the server refuses it. UnavailableError: it does not answer.
        """
        new = NewRun(
            id=run.id,
            workflow=self._registry.workflow(run.workflow),
            data=run.data,
            owner=run.owner,
            tags=run.tags,
            priority=run.priority,
            beginning=_beginning_of(run),
            origin=run.origin,
            first_digest=run.digest,
        )
        try:
            await begin(self._client, self._task_queue, self._registry, new)
        except RPCError as error:
            if error.status is RPCStatusCode.INVALID_ARGUMENT:
                raise InvalidInputError(f"the Temporal server refuses it: {error.message}") from error
            raise explained(error) from error

    async def take_schedule(self, schedule: OpenSchedule) -> None:
        """Have the schedule start its runs here from now on; one that is paused begins as paused.

        Raises:
            NotRegisteredError: the engine was not given its workflow.
            PayloadError: its recorded input does not fit the code.
            ConflictError: another task queue has a schedule of this id. UnavailableError: no answer.
        """
        info = schedule.info
        workflow = self._registry.workflow(info.workflow)
        workflow.input.decode(schedule.data)
        settings = Settings(
            schedule=info.id,
            workflow=info.workflow,
            cron=info.cron,
            zone=info.zone,
            catch_up_s=info.catch_up,
            owner=info.owner,
            tags=info.tags,
            priority=info.priority,
            since=time.time(),
        )
        is_paused = info.status is ScheduleStatus.PAUSED
        await keep(self._client, Kept(settings, schedule.data, self._task_queue, is_paused=is_paused))


def _beginning_of(run: OpenRun) -> Beginning:
    children = {
        child.id: MovedChild(data=child.data.decode(), beginning=_beginning_of(child))
        for child in run.children
    }
    prefix = CarriedPrefix.of(run.prefix)
    return Beginning(life=run.life, prefix=prefix, is_paused=run.is_paused, children=children)

"""The part of the port that is about schedules, as schedules of the Temporal server."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from temporalio.client import ScheduleAlreadyRunningError, ScheduleUpdate, WorkflowUpdateFailedError
from temporalio.client import WithStartWorkflowOperation as WithStart
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.core.clock import utc
from orchestrator.core.errors import ConflictError, OrchestratorError, TerminalError
from orchestrator.durable.runs import NORMAL_PRIORITY, check_priority
from orchestrator.durable.schedules import (
    CATCH_UP_S,
    ScheduleInfo,
    ScheduleStatus,
    checked_catch_up,
    checked_schedule_id,
)
from orchestrator.durable.temporal.failures import explained, failure_of
from orchestrator.durable.temporal.keeping import KEEPER, NO_PROGRESS, RUN_NOW, keeper_id, progress_of
from orchestrator.durable.temporal.reserved import inner_queue
from orchestrator.durable.temporal.schedule_settings import (
    DUE,
    Kept,
    Settings,
    explained_of,
    find,
    no_schedule,
    read,
)
from orchestrator.durable.workflows import check_is_workflow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from temporalio.client import Client, ScheduleUpdateInput

    from orchestrator.durable.registry import Registry
    from orchestrator.durable.temporal.runs import TemporalRun
    from orchestrator.durable.temporal.terms import Terms
    from orchestrator.durable.workflows import Workflow


class Scheduling(ABC):
    """Makes and finds schedules. An engine inherits it."""

    _registry: Registry
    _task_queue: str
    _terms: Terms

    @abstractmethod
    async def get(self, id: str) -> TemporalRun[Any]:
        """The run of that id."""

    @abstractmethod
    def _connected(self) -> Client:
        """The client, while the engine is open."""

    async def schedule(  # noqa: PLR0913  # the port's options
        self,
        workflow: Workflow[Any, Any],
        input: Any = None,
        *,
        id: str,
        cron: str,
        zone: str = "UTC",
        catch_up: float = CATCH_UP_S,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        priority: int = NORMAL_PRIORITY,
    ) -> TemporalSchedule:
        """Start a run at every time of ``cron`` in ``zone``. See the port for the arguments and errors."""
        client = self._connected()
        check_is_workflow(workflow, "engine.schedule")
        self._registry.workflow(workflow.type_name)
        data = workflow.input.record(input, self._terms.rules.most_bytes)
        workflow.slots(data)  # refused here, not when the first run is due
        settings = Settings(
            schedule=checked_schedule_id(id),
            workflow=workflow.type_name,
            cron=" ".join(cron.split()),
            zone=zone,
            catch_up_s=checked_catch_up(catch_up),
            owner=owner,
            tags=dict(tags or {}),
            priority=check_priority(priority),
            since=time.time(),
        )
        settings.timetable.first_after(settings.since)
        await keep(client, Kept(settings, data, self._task_queue))
        return TemporalSchedule(self, client, self._registry, self._task_queue, id)

    async def get_schedule(self, id: str) -> TemporalSchedule:
        """The schedule of that id.

        Raises:
            NotFoundError: there is none.
        """
        client = self._connected()
        await find(client, self._task_queue, id)
        return TemporalSchedule(self, client, self._registry, self._task_queue, id)

    async def schedules(self) -> Sequence[ScheduleInfo]:
        """All schedules of this task queue, by id. One that was just made may be missing for a moment."""
        client = self._connected()
        found: list[ScheduleInfo] = []
        try:
            async for entry in await client.list_schedules():
                if getattr(getattr(entry.schedule, "action", None), "workflow", "") == DUE:
                    found += await self._infos(client, entry.id)
        except RPCError as error:
            raise explained(error) from error
        return sorted(found, key=lambda info: info.id)

    async def _infos(self, client: Client, schedule_id: str) -> list[ScheduleInfo]:
        """What is known of a listed schedule, unless it is gone or of another task queue."""
        try:
            description = await client.get_schedule_handle(schedule_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return []
            raise
        kept = await read(client, self._task_queue, description)
        return [] if kept is None else [await _info(client, self._registry, kept)]


class TemporalSchedule:
    """A schedule by its id; the server and the schedule's keeper know the rest.

    Every method raises NotFoundError once it is deleted.
    """

    def __init__(
        self, engine: Scheduling, client: Client, registry: Registry, task_queue: str, schedule_id: str
    ) -> None:
        self._engine = engine
        self._client = client
        self._registry = registry
        self._task_queue = task_queue
        self._handle = client.get_schedule_handle(schedule_id)
        self.id = schedule_id

    def __repr__(self) -> str:
        return f"<schedule {self.id}>"

    async def describe(self) -> ScheduleInfo:
        """Where it stands now."""
        return await _info(self._client, self._registry, await find(self._client, self._task_queue, self.id))

    async def pause(self) -> None:
        """Start nothing until ``resume``; a run that is open goes on."""
        try:
            await self._handle.pause()
        except RPCError as error:
            raise explained_of(self.id, error) from error

    async def resume(self) -> None:
        """Start runs again, from the next time on; what passed meanwhile does not happen.

        Raises:
            NotRegisteredError: the engine was not given its workflow.
        """
        kept = await find(self._client, self._task_queue, self.id)
        self._registry.workflow(kept.settings.workflow)

        async def go_on(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
            paused = await read(self._client, self._task_queue, found.description)
            if paused is None or not paused.is_paused:
                return None
            settings = paused.settings.model_copy(update={"since": time.time()})
            return ScheduleUpdate(Kept(settings, paused.input, paused.task_queue).as_temporal())

        try:
            await self._handle.update(go_on)
        except RPCError as error:
            raise explained_of(self.id, error) from error

    async def run_now(self) -> TemporalRun[Any]:
        """Start a run at once, beside its times, also of a paused schedule.

        Raises:
            ConflictError: its last run is still open. NotRegisteredError: its workflow is not there.
        """
        kept = await find(self._client, self._task_queue, self.id)
        self._registry.workflow(kept.settings.workflow)
        keeper: WithStart[Any, Any] = WithStart(
            KEEPER,
            args=[self.id, NO_PROGRESS.data],
            id=keeper_id(self.id),
            task_queue=inner_queue(kept.task_queue),
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        try:
            runs: list[str] = await self._client.execute_update_with_start_workflow(
                RUN_NOW, start_workflow_operation=keeper, result_type=list[str]
            )
        except WorkflowUpdateFailedError as error:
            failure = failure_of(error.cause)
            raise TerminalError(failure.message, code=failure.code) from None
        except RPCError as error:
            raise explained(error) from error
        if not runs:
            raise no_schedule(self.id)
        before, after = runs
        if before == after:
            raise ConflictError(
                f"the last run of schedule {self.id!r} is open: wait for {after} to end, or cancel it",
                code="schedule_busy",
            )
        return await self._engine.get(after)

    async def delete(self) -> None:
        """Forget it. Its runs stay, and those that are open go on."""
        try:
            await self._handle.delete()
        except RPCError as error:
            raise explained_of(self.id, error) from error
        try:
            await self._client.get_workflow_handle(keeper_id(self.id)).terminate(reason="it was deleted")
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise explained(error) from error


async def keep(client: Client, wanted: Kept) -> None:
    """Have the server keep a schedule; where it has one of that id, change what is to be changed.

    Raises:
        ConflictError: another task queue has a schedule of that id. UnavailableError: it does not answer.
    """
    schedule_id = wanted.settings.schedule
    try:
        await client.create_schedule(schedule_id, wanted.as_temporal())
    except ScheduleAlreadyRunningError:
        await _change(client, wanted)
    except RPCError as error:
        raise explained(error) from error


async def _change(client: Client, wanted: Kept) -> None:
    schedule_id = wanted.settings.schedule

    async def changed(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
        old = await read(client, wanted.task_queue, found.description)
        if old is None:
            raise ConflictError(
                f"schedule {schedule_id!r} exists on this cluster and is of another task queue; "
                "give another id"
            )
        return None if wanted.asks_for_the_same(old) else ScheduleUpdate(wanted.instead_of(old).as_temporal())

    try:
        await client.get_schedule_handle(schedule_id).update(changed)
    except RPCError as error:
        raise explained_of(schedule_id, error) from error


async def _info(client: Client, registry: Registry, kept: Kept) -> ScheduleInfo:
    """A schedule for people and programs."""
    settings = kept.settings
    progress = await progress_of(client, settings.schedule)
    reason = "" if kept.is_paused else _reason(registry, kept)
    status = ScheduleStatus.STUCK if reason else ScheduleStatus.ACTIVE
    return ScheduleInfo(
        id=settings.schedule,
        workflow=settings.workflow,
        cron=settings.cron,
        zone=settings.zone,
        catch_up=settings.catch_up_s,
        status=ScheduleStatus.PAUSED if kept.is_paused else status,
        created_at=kept.created_at or utc(0.0),
        next_at=None if reason or kept.is_paused else _moment(kept.next_at(time.time())),
        last_run=progress.last_run,
        last_at=_moment(progress.last_at),
        skipped=progress.skipped,
        missed_at=_moment(progress.missed_at),
        owner=settings.owner,
        tags=settings.tags,
        priority=settings.priority,
        reason=reason,
    )


def _reason(registry: Registry, kept: Kept) -> str:
    """Why an engine of these workflows cannot start a run of the schedule; empty if it can."""
    try:
        registry.workflow(kept.settings.workflow).input.decode(kept.input)
    except OrchestratorError as error:
        return error.message
    return ""


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else utc(seconds)

"""The part of the embedded engine's port that is about schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar, overload

from orchestrator.durable.embedded.history import tags_text
from orchestrator.durable.embedded.schedule_handle import EmbeddedSchedule
from orchestrator.durable.embedded.schedule_rows import ScheduleRow
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.durable.runs import NORMAL_PRIORITY, check_priority
from orchestrator.durable.schedules import (
    CATCH_UP_S,
    ScheduleInfo,
    ScheduleStatus,
    checked_catch_up,
    checked_schedule_id,
)
from orchestrator.durable.workflows import check_is_workflow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.core.clock import Clock
    from orchestrator.durable.embedded.handle import EmbeddedRun
    from orchestrator.durable.embedded.schedules import Schedules
    from orchestrator.durable.registry import Registry
    from orchestrator.durable.workflows import Workflow

In = TypeVar("In")


class Scheduling(ABC):
    """Makes and finds schedules. An engine inherits it, and opens and closes what it keeps."""

    _registry: Registry
    _clock: Clock
    _schedules: Schedules | None

    @abstractmethod
    async def get(self, id: str) -> EmbeddedRun[Any]:
        """The run of that id."""

    @overload
    async def schedule(
        self,
        workflow: Workflow[None, Any],
        *,
        id: str,
        cron: str,
        zone: str = "UTC",
        catch_up: float = CATCH_UP_S,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        priority: int = NORMAL_PRIORITY,
    ) -> EmbeddedSchedule: ...
    @overload
    async def schedule(
        self,
        workflow: Workflow[In, Any],
        input: In,
        *,
        id: str,
        cron: str,
        zone: str = "UTC",
        catch_up: float = CATCH_UP_S,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        priority: int = NORMAL_PRIORITY,
    ) -> EmbeddedSchedule: ...
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
    ) -> EmbeddedSchedule:
        """Start a run at every time of ``cron`` in ``zone``. See the port for the arguments.

        Raises:
            InvalidInputError: ``cron``, ``zone``, ``catch_up``, ``id`` or ``priority`` is none; or a limit of
                the workflow finds no key in the input.
            NotRegisteredError: the engine was not given this workflow.
            PayloadError, PayloadTooLargeError: the input has no JSON form, or a too large one.
            JournalFullError: the disk is full; nothing was changed.
            EngineStoppedError: the engine is not open.
        """
        schedules = self.kept_schedules
        check_is_workflow(workflow, "engine.schedule")
        self._registry.workflow(workflow.type_name)
        digest, data = schedules.recorded(id, workflow, input)
        await schedules.put(
            ScheduleRow(
                name=checked_schedule_id(id),
                workflow=workflow.type_name,
                owner=owner,
                tags=tags_text(tags),
                priority=check_priority(priority),
                digest=digest,
                input=data,
                cron=" ".join(cron.split()),
                zone=zone,
                catch_up_s=checked_catch_up(catch_up),
                created_at=self._clock.time(),
                status=ScheduleStatus.ACTIVE,
            )
        )
        return EmbeddedSchedule(self, id)

    async def get_schedule(self, id: str) -> EmbeddedSchedule:
        """The schedule of that id.

        Raises:
            NotFoundError: there is none.
        """
        return EmbeddedSchedule(self, self.kept_schedules.row(id).name)

    async def schedules(self) -> Sequence[ScheduleInfo]:
        """All schedules, by id."""
        return self.kept_schedules.infos()

    @property
    def kept_schedules(self) -> Schedules:
        """The schedules of the open engine.

        Raises:
            EngineStoppedError: it is not open.
        """
        if self._schedules is None:
            raise EngineStoppedError("the engine is not open, so its schedules are not at hand")
        return self._schedules

"""A handle on one schedule of the embedded engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.durable.embedded.handle import EmbeddedRun
    from orchestrator.durable.embedded.scheduling import Scheduling
    from orchestrator.durable.schedules import ScheduleInfo


class EmbeddedSchedule:
    """A schedule by its id; the engine knows the rest.

    Every method raises NotFoundError once it is deleted.
    """

    def __init__(self, engine: Scheduling, schedule_id: str) -> None:
        self._engine = engine
        self.id = schedule_id

    def __repr__(self) -> str:
        return f"<schedule {self.id}>"

    async def describe(self) -> ScheduleInfo:
        """Where it stands now."""
        return self._engine.kept_schedules.row(self.id).info()

    async def pause(self) -> None:
        """Start nothing until ``resume``; a run that is open goes on."""
        await self._engine.kept_schedules.pause(self.id)

    async def resume(self) -> None:
        """Start runs again, from the next time on; what passed meanwhile does not happen.

        Raises:
            NotRegisteredError: the engine was not given its workflow.
        """
        await self._engine.kept_schedules.resume(self.id)

    async def run_now(self) -> EmbeddedRun[Any]:
        """Start a run at once, beside its times, also of a paused schedule.

        Raises:
            ConflictError: its last run is still open.
        """
        return await self._engine.get(await self._engine.kept_schedules.run_now(self.id))

    async def delete(self) -> None:
        """Forget it. Its runs stay, and those that are open go on."""
        await self._engine.kept_schedules.delete(self.id)

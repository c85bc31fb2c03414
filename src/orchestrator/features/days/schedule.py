"""The schedule that prepares next days, whoever they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.db import SYSTEM_OWNER
from orchestrator.features.days.workflow import prepare_days

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings
    from orchestrator.durable.engine import Engine

SCHEDULE: Final = "prepare-days"
# Everywhere on Earth 07:00 is at a full quarter of an hour in UTC.
PREPARED_EVERY: Final = "*/15 * * * *"


def schedule_id(settings: Settings) -> str:
    """The id of the schedule; on a cluster its service's own, as others may be there."""
    return SCHEDULE if settings.engine == "embedded" else f"{SCHEDULE}-{settings.temporal.task_queue}"


async def keep_schedule(engine: Engine, schedule_id: str) -> None:
    """See to it that the schedule is there."""
    await engine.schedule(prepare_days, id=schedule_id, cron=PREPARED_EVERY, zone="UTC", owner=SYSTEM_OWNER)

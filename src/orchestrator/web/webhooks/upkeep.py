"""What is done to deliveries hour after hour: those cut off are told as failed, and old ones forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from orchestrator.core.clock import utc
from orchestrator.core.errors import NotFoundError
from orchestrator.core.waiting import passed
from orchestrator.web.background import EVERY_HOUR_S
from orchestrator.web.webhooks.distribution import run_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Clock
    from orchestrator.durable.engine import Engine
    from orchestrator.web.webhooks.repository import WebhookRepository
    from orchestrator.web.webhooks.tables import DeliveryRow

DELIVERIES_KEPT_FOR: Final = timedelta(days=30)
STARTED_WITHIN: Final = timedelta(hours=1)  # until then a delivery without a run may get its run yet
LOOKED_AT_ONCE: Final = 500
GONE: Final = "its run is gone"


class Upkeep:
    """Sees that no delivery stays under way that nobody works on, and that none is kept for ever."""

    def __init__(self, webhooks: WebhookRepository, engine: Callable[[], Engine], clock: Clock) -> None:
        self._webhooks = webhooks
        self._engine = engine
        self._clock = clock

    async def keep_up_always(self) -> None:
        """Do both hour after hour.

        Raises:
            UnavailableError: tables or engine are away. Call again.
        """
        while True:
            await self.tell_cut_off()
            await self._webhooks.forget_older(utc(self._clock.time()) - DELIVERIES_KEPT_FOR)
            await passed(self._clock, EVERY_HOUR_S, background=True)

    async def tell_cut_off(self) -> None:
        """Note of deliveries whose runs have ended without a word of it that they failed, and why."""
        after = ""
        while page := await self._webhooks.pending(after, LOOKED_AT_ONCE):
            after = page[-1].id
            for row in page:
                if reason := await self._cut_off_because(row):
                    await self._webhooks.cut_off(row, utc(self._clock.time()), reason)

    async def _cut_off_because(self, row: DeliveryRow) -> str:
        """Why nobody works on it any more; empty where its run goes on or is yet to begin."""
        try:
            run = await (await self._engine().get(run_id(row.id, row.runs))).describe()
        except NotFoundError:
            is_late = row.created_at < utc(self._clock.time()) - STARTED_WITHIN
            return GONE if is_late else ""
        return f"its run was {run.status.replace('_', ' ')}" if run.status.closed else ""

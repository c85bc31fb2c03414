"""The preparing of next days: a few people at a time, each by a run of their own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from orchestrator.core.clock import utc
from orchestrator.core.errors import ConflictError
from orchestrator.features.days.workflow import day

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Clock
    from orchestrator.durable.engine import Engine, Run
    from orchestrator.features.days.deadlines import Deadlines
    from orchestrator.features.days.repository import IntentRepository
    from orchestrator.features.days.tables import IntentRow

PREPARED_AT_ONCE: Final = 20


class Morning:
    """Starts the runs of those whose next plan is due, and waits for them, so that agents are not flooded."""

    def __init__(
        self, intents: IntentRepository, engine: Callable[[], Engine], deadlines: Deadlines, clock: Clock
    ) -> None:
        self._intents = intents
        self._engine = engine
        self._deadlines = deadlines
        self._clock = clock

    async def prepare_some(self) -> int:
        """Prepare the plans of a few people who are due; how many there were.

        Whose run fails is tried again the next morning. What a crash interrupts is done once: a run has the
        id of its person's due time.
        """
        due = await self._intents.due(utc(self._clock.time()), PREPARED_AT_ONCE)
        runs = [await self._started(row) for row in due]
        for row in due:
            await self._intents.put_off(row, utc(self._clock.time()))
        await asyncio.gather(*(run.result() for run in runs if run), return_exceptions=True)
        return len(due)

    async def _started(self, row: IntentRow) -> Run[Any] | None:
        """The run of a person's next day; None where it was started before, with an earlier deadline."""
        due_at = 0 if row.next_run_at is None else int(row.next_run_at.timestamp())
        run_id = f"day-{row.id}-{row.next_week}-{row.next_day}-{due_at}"
        found = await self._intents.asked(row.owner, row.next_week, row.next_day)
        if found is None or found[0].id != row.id:  # its person has gone on to something else meanwhile
            return None
        request = self._deadlines.scheduled(row, found[1], self._clock.time())
        with suppress(ConflictError):
            return await self._engine().start(day, request, id=run_id, owner=row.owner)
        return None

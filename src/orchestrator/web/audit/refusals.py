"""Sign-ins that were refused, on record: each source's first of a minute at once, the others as a number.

So a flood of them writes some twenty entries a minute, whatever it brings.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import structlog

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.waiting import passed
from orchestrator.web.audit.trail import source_of
from orchestrator.web.auth.caller import NOBODY
from orchestrator.web.limits.counting import network_of

if TYPE_CHECKING:
    from starlette.types import Scope

    from orchestrator.core.clock import Clock
    from orchestrator.web.audit.audit import Audit

WINDOW_S: Final = 60.0
MOST_SOURCES: Final = 10  # that are told apart in one minute
OTHERS: Final = "others"
REFUSED: Final = "sign_in.refused"

log = structlog.get_logger()


class Refusals:
    """Counts refused sign-ins by source, and writes them down."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._seen: set[str] = set()
        self._again: Counter[tuple[str, str]] = Counter()

    async def note(self, scope: Scope, error: OrchestratorError) -> None:
        """One more was refused, with ``error``. It is never the caller's trouble that this cannot be kept."""
        source = network_of(source_of(scope))
        if source in self._seen:
            self._again[source, error.code] += 1
        elif len(self._seen) >= MOST_SOURCES:
            self._again[OTHERS, ""] += 1
        else:
            self._seen.add(source)
            await self._write(source, error.code, 1)

    async def flush(self) -> None:
        """Write down the numbers, and begin anew."""
        again, self._again, self._seen = self._again, Counter(), set()
        for (source, code), times in again.items():
            await self._write(source, code, times)

    async def flush_always(self) -> None:
        """Do so minute after minute, and at the end."""
        try:
            while True:
                await passed(self._clock, WINDOW_S, background=True)
                await self.flush()
        finally:
            await asyncio.shield(self.flush())

    async def _write(self, source: str, code: str, times: int) -> None:
        try:
            await self._audit.record(REFUSED, NOBODY, subject=code, source=source, times=times)
        except OrchestratorError as error:
            log.warning("refused sign-in not recorded", reason=error.message)

"""Pausing a run: what its code asks for meanwhile begins when the pause is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from temporalio import workflow as temporal

from orchestrator.durable.names import RESERVED

if TYPE_CHECKING:
    from orchestrator.durable.temporal.asked import Asked

# The signals that pause a run and let it go on, and what its memo has meanwhile.
PAUSE: Final = f"{RESERVED}pause"
RESUME: Final = f"{RESERVED}resume"
PAUSED: Final = "paused"


class Pausing:
    """Whether a run is paused, and what waits for the end of that."""

    def __init__(self, *, is_paused: bool) -> None:
        self.is_paused = is_paused
        self._held: list[Asked] = []

    def begin(self, asked: Asked) -> None:
        """Begin it, now or when the pause is over."""
        if self.is_paused:
            self._held.append(asked)
        else:
            asked.begin()

    def pause(self) -> None:
        """Begin nothing from now on."""
        if not self.is_paused:
            self.is_paused = True
            temporal.upsert_memo({PAUSED: True})

    def resume(self) -> None:
        """Begin what was asked for meanwhile."""
        if not self.is_paused:
            return
        self.is_paused = False
        temporal.upsert_memo({PAUSED: None})
        held, self._held = self._held, []
        for asked in held:
            asked.begin()

    async def end_by_a_cancel(self) -> None:
        """Resume once the run's code knows of a cancel, or what it does to clean up would wait for ever."""
        # Temporal looks at conditions when the code is at rest: what it gave up by then does not begin.
        await temporal.wait_condition(lambda: temporal.cancellation_reason() is not None)
        self.resume()

"""Pausing a run: what its code asks for meanwhile begins when the pause is over.

A hold is like a pause that nobody sees: the run itself lets nothing begin for a moment.
"""

from __future__ import annotations

import asyncio
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
        self._is_on_hold = False
        self._is_over = False
        self._held: list[Asked] = []
        self._open: set[Asked] = set()

    def begin(self, asked: Asked) -> None:
        """Begin it, now or when the pause is over."""
        if self._is_over:
            asked.give_up()
            return
        if self.is_paused or self._is_on_hold:
            self._held.append(asked)
            return
        if asked.begin():
            self._open.add(asked)
            asked.ended.add_done_callback(lambda _: self._open.discard(asked))

    @property
    def has_open(self) -> bool:
        """Whether something is under way."""
        return bool(self._open)

    def hold(self) -> None:
        """Begin nothing until ``release``."""
        self._is_on_hold = True

    def release(self) -> None:
        """Begin what was asked for meanwhile, unless the run is paused."""
        self._is_on_hold = False
        self._begin_held()

    def forget_held(self) -> None:
        """End a hold without a beginning: this history is over."""
        self._is_on_hold = False
        self._held.clear()

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
        self._begin_held()

    async def end_by_a_cancel(self) -> None:
        """Resume once the run's code knows of a cancel, or what it does to clean up would wait for ever."""
        # Temporal looks at conditions when the code is at rest: what it gave up by then does not begin.
        try:
            await temporal.wait_condition(lambda: temporal.cancellation_reason() is not None)
        except asyncio.CancelledError:
            self._give_up()
            raise
        self.resume()

    def _give_up(self) -> None:
        """The run ends or leaves memory, so nothing begins: code that cleans up must not wait for that."""
        self._is_over = True
        held, self._held = self._held, []
        for asked in held:
            asked.give_up()

    def _begin_held(self) -> None:
        if self.is_paused or self._is_on_hold:
            return
        held, self._held = self._held, []
        for asked in held:
            self.begin(asked)

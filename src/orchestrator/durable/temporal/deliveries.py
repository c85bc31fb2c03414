"""What reaches a run's code on Temporal: one thing after the other, as on the embedded engine."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NoReturn

from temporalio import workflow as temporal

if TYPE_CHECKING:
    from collections.abc import Callable


class Deliveries:
    """Outcomes, signals and timers on their way to a run's code.

    A server hands over several at once. Each is delivered alone, when the code has come to rest after the one
    before, so that the code goes the same way live, on a replay, and when it begins with a prefix.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_over = False

    def add(self, deliver: Callable[[], object]) -> None:
        """Let ``deliver`` be called in its turn; at once when the run is over, as no code rests then."""
        if self._is_over:
            deliver()
        else:
            self._waiting.append(deliver)

    async def carry_out(self) -> NoReturn:
        """Deliver for as long as the run lasts."""
        try:
            while True:
                # Temporal looks at conditions only when nothing else can go on: the code is at rest then.
                await temporal.wait_condition(self._has_more)
                self._waiting.popleft()()
        finally:
            self._is_over = True
            while self._waiting:
                self._waiting.popleft()()

    def _has_more(self) -> bool:
        return bool(self._waiting)

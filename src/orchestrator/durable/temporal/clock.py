"""A run's time on Temporal."""

from __future__ import annotations

from temporalio import workflow as temporal


class RunClock:
    """The time of the last thing delivered to a run, in seconds since 1970; it never goes back.

    While a run is told what it begins with, that is when each of it was recorded.
    """

    def __init__(self) -> None:
        self._latest_s = 0.0
        self.is_live = True

    def now(self) -> float:
        """The run's time."""
        if self.is_live:
            self.reach(temporal.time())
        return self._latest_s

    def reach(self, at: float) -> None:
        """Let the time come to ``at``, unless it is later already."""
        self._latest_s = max(self._latest_s, at)

"""Token buckets in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.web.limits.bucket import MICROSECONDS, Bucket, look, take

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.core.rates import Rate, Taken

# About 30 MB. Who lives through so many others has got his tokens back by then, or nearly.
MOST_BUCKETS: Final = 100_000


class MemoryBuckets:
    """Buckets by name, up to ``most``: above it the one goes that was not asked for longest."""

    def __init__(self, clock: Clock, *, most: int = MOST_BUCKETS) -> None:
        self._clock = clock
        self._most = most
        self._buckets: dict[str, Bucket] = {}  # the one that was asked last is the last

    def __len__(self) -> int:
        return len(self._buckets)

    async def take(self, name: str, rate: Rate) -> Taken:
        """Take a token from the bucket of that name."""
        self._buckets[name], taken = take(self._buckets.pop(name, None), rate, self._now())
        if len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return taken

    async def look(self, name: str, rate: Rate) -> Taken:
        """See whether there is a token in the bucket of that name."""
        return look(self._buckets.get(name), rate, self._now())

    def _now(self) -> int:
        return int(self._clock.time() * MICROSECONDS)

"""How often something may be done: the rule in numbers, and what counts by it.

``orchestrator.web.limits`` has the buckets; what lies below it takes them by this protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` times in ``per_s`` seconds in the long run, and ``burst`` times at once after a pause.

    It is a token bucket: it holds up to ``burst`` tokens, each use takes one, and they come back evenly.
    """

    count: int
    per_s: int
    burst: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of asking a bucket for a token, or of looking into it.

    Attributes:
        allowed: whether there was one.
        left: how many whole tokens are there now.
        next_s: seconds until there is one more, more than 0; after a refusal, when to try again.
    """

    allowed: bool
    left: int
    next_s: float


class Buckets(Protocol):
    """Token buckets by name, each full at first."""

    async def take(self, name: str, rate: Rate) -> Taken:
        """Take a token from the bucket of that name, which fills at ``rate``, always the same."""
        ...

    async def look(self, name: str, rate: Rate) -> Taken:
        """See whether there is a token in the bucket of that name, and leave it there."""
        ...

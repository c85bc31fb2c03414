"""Where answers of agents are kept: a port, which a room fills with a table of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class CachedSignal:
    """What an agent answered. Times are in seconds since 1970.

    ``fetched_at`` is when the data came, ``confirmed_at`` when the agent last said that it holds: by sending
    it, or by 304. ``outdated`` says that something happened since on which it may depend.
    """

    data: JsonValue
    etag: str | None
    fetched_at: float
    confirmed_at: float
    outdated: bool = False

    def is_fresh(self, window_s: float, now: float) -> bool:
        """Whether it was confirmed within the last ``window_s`` seconds, and nothing happened since.

        A moment that the clock has not reached yet (it was set back) counts by its distance, so that nothing
        stays fresh for ever.
        """
        return not self.outdated and abs(now - self.confirmed_at) < window_s


class SignalCache(Protocol):
    """Keeps the last signal of each agent, per owner and question."""

    async def get(self, owner: str, agent: str, key: str) -> CachedSignal | None:
        """What is kept for ``owner`` under this agent and this key of a question; None where nothing is.

        Raises:
            UnavailableError: the cache is away.
        """
        ...

    async def put(self, owner: str, agent: str, key: str, signal: CachedSignal) -> None:
        """Keep ``signal`` in place of what was there.

        Raises:
            UnavailableError: the cache is away.
        """
        ...

"""What an agent has to say about one question, where it came from and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.agents.remote.contract import ATTEMPT_TIMEOUT_S

if TYPE_CHECKING:
    from pydantic import BaseModel, JsonValue

    from orchestrator.agents.remote.contract import AgentErrorCode


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an agent gives its signals, of which shape, and for how many seconds they stay fresh."""

    path: str
    fresh_for_s: float
    shape: type[BaseModel] | None = None
    timeout_s: float = ATTEMPT_TIMEOUT_S


class Source(StrEnum):
    """Where a signal came from."""

    CACHE = "cache"  # as it was kept: fresh, or for want of a new one
    CONFIRMED = "confirmed"  # kept, and confirmed by the agent (304)
    AGENT = "agent"  # fetched anew
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Signal:
    """What an agent has to say, or that it has nothing.

    ``fresh`` is whether it was fetched or confirmed within its window; ``updated_at`` is when that was, in
    seconds since 1970. ``error_code`` says why the agent was asked in vain, also where the cache stood in.
    """

    agent: str
    source: Source
    data: JsonValue = None
    fresh: bool = False
    updated_at: float | None = None
    error_code: AgentErrorCode | None = None

    @property
    def available(self) -> bool:
        """Whether there is anything."""
        return self.source is not Source.MISSING

    @property
    def hit(self) -> bool:
        """Whether it was served from the cache, or confirmed by 304."""
        return self.source in {Source.CACHE, Source.CONFIRMED}

    @property
    def miss(self) -> bool:
        """Whether it was fetched anew. A signal that is missing is neither hit nor miss."""
        return self.source is Source.AGENT

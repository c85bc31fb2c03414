"""A cache of signals in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.agents.remote import CachedSignal


@dataclass
class MemorySignals:
    """Keeps signals for as long as it lives; raises ``reading`` and ``writing`` where a test sets them."""

    kept: dict[tuple[str, str, str], CachedSignal] = field(default_factory=dict)
    reading: Exception | None = None
    writing: Exception | None = None

    async def get(self, owner: str, agent: str, key: str) -> CachedSignal | None:
        """What was put there last."""
        if self.reading:
            raise self.reading
        return self.kept.get((owner, agent, key))

    async def put(self, owner: str, agent: str, key: str, signal: CachedSignal) -> None:
        """Keep it."""
        if self.writing:
            raise self.writing
        self.kept[owner, agent, key] = signal

"""Where tests write down spent tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.agents.budget import Check, Entry


class MemoryLedger:
    """A ledger that forgets at the end of the test."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    async def reserve(self, entry: Entry, check: Check) -> None:
        """Keep a new entry, if it passes."""
        on_day = sum(kept.tokens for kept in self.entries.values() if kept.day == entry.day)
        check(self.spent_in(entry.session), on_day)
        self.entries[entry.key] = entry

    async def settle(self, entry: Entry) -> None:
        """Keep the last entry of a key."""
        self.entries[entry.key] = entry

    def spent_in(self, session: str) -> int:
        """A session's tokens."""
        return sum(entry.tokens for entry in self.entries.values() if entry.session == session)

"""Streams in a file of their own, for a single process whose runs are kept elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from orchestrator.journal import Journal
from orchestrator.streams.embedded import EmbeddedStreams

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.core.clock import Clock


class FileStreams(EmbeddedStreams):
    """The embedded streams on a file that is opened as this is entered; before, they can be given away only.

    Raises, on entering:
        JournalError: the file cannot be used, or another process has it.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    async def __aenter__(self) -> Self:
        """Open the file, or make it."""
        super().__init__(Journal(self._path), self._clock)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it; all that was appended is there."""
        await self._journal.close()

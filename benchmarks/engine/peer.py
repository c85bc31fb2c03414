"""What an engine must do to take part: five steps that each add one, run durably."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 5


class Runner(Protocol):
    """What runs workflows, once it is open."""

    name: ClassVar[str]

    async def run_one(self, number: int) -> int:
        """Run one workflow to its end under a new id made of `number`; returns `number` after five steps."""


class Peer(Runner, Protocol):
    """One engine, set up as its own documentation recommends for throughput."""

    packages: ClassVar[tuple[str, ...]]
    """The distributions whose versions are printed."""

    async def prepare(self, directory: Path) -> None:
        """Open the engine with everything that it keeps under `directory`, which is empty."""

    async def durability(self) -> str:
        """What must be on disk before a step counts, as found on the running engine where it can be asked."""

    async def close(self) -> int:
        """End all that `prepare` started; returns the peak memory of its server processes in bytes."""

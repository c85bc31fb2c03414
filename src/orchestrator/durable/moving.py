"""Moving open runs and schedules from one engine to another, under the same ids.

Each family of runs, a run with its open children, begins at the destination with everything that it recorded,
and then ends where it came from, in one write. Whoever is stopped between the two does both again: the same
id with the same input is the same run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

from orchestrator.core.errors import OrchestratorError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from orchestrator.durable.runs import Prefix
    from orchestrator.durable.schedules import ScheduleInfo

MOVED: Final = "moved"
WOULD_MOVE: Final = "would-move"
LEFT: Final = "left"

Fate = Literal["moved", "would-move", "left"]


@dataclass(frozen=True, slots=True)
class OpenRun:
    """An open run, as another engine takes it.

    ``workflow`` is its type name, ``data`` its recorded input. ``origin`` tells a fork from other runs of the
    same input. ``digest``, in hexadecimal, is of what it was first started with, where that was other input.
    ``life`` tells its idempotency keys from those of its earlier histories; it is 1 in the first.
    ``children`` are its open children.
    """

    id: str
    workflow: str
    status: str
    owner: str
    tags: Mapping[str, str]
    priority: int
    data: bytes
    prefix: Prefix
    digest: str = ""
    origin: bytes = b""
    life: int = 1
    is_paused: bool = False
    children: tuple[OpenRun, ...] = ()

    @property
    def family(self) -> Iterator[OpenRun]:
        """The run, its children, and theirs."""
        yield self
        for child in self.children:
            yield from child.family


@dataclass(frozen=True, slots=True)
class Stays:
    """A run that its engine cannot give away, and why."""

    id: str
    workflow: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class OpenSchedule:
    """A schedule with the recorded input of its runs."""

    info: ScheduleInfo
    data: bytes


@dataclass(frozen=True, slots=True)
class Move:
    """What became of one run or schedule: it was moved, would be, or is left as it is for a ``reason``."""

    kind: Literal["run", "schedule"]
    id: str
    workflow: str
    status: str
    fate: Fate
    reason: str = ""


class Source(Protocol):
    """Where runs come from; nothing moves there meanwhile."""

    def open_runs(self) -> AsyncIterator[OpenRun | Stays]:
        """Its open runs, with their families."""
        ...

    async def close(self, run: OpenRun, reason: str) -> None:
        """End a run and its family there, whole or not at all."""
        ...

    async def open_schedules(self) -> Sequence[OpenSchedule]:
        """Its schedules."""
        ...

    async def close_schedule(self, schedule_id: str) -> None:
        """Forget a schedule there."""
        ...


class Destination(Protocol):
    """Where runs go."""

    @property
    def place(self) -> str:
        """What it is, in words."""
        ...

    def check(self, run: OpenRun) -> None:
        """Find out whether it could take a run.

        Raises:
            OrchestratorError: it could not, for the reason in the message.
        """
        ...

    async def take(self, run: OpenRun) -> None:
        """Begin a run there with its family, or find it begun.

        Raises:
            OrchestratorError: it cannot, for the reason in the message; nothing of it was begun.
        """
        ...

    async def take_schedule(self, schedule: OpenSchedule) -> None:
        """Have the schedule start its runs there from now on.

        Raises:
            OrchestratorError: it cannot, for the reason in the message.
        """
        ...


@dataclass(slots=True)
class Mover:
    """Moves what is open from a source to a destination; ``is_rehearsal`` only says what would be moved."""

    source: Source
    destination: Destination
    is_rehearsal: bool = False

    async def move(self) -> AsyncIterator[Move]:
        """Move everything that can be, and tell of each.

        Raises:
            UnavailableError: the destination does not answer; what was not told of is as it was.
        """
        async for run in self.source.open_runs():
            if isinstance(run, Stays):
                yield Move("run", run.id, run.workflow, run.status, LEFT, run.reason)
                continue
            reason = await self._move(run)
            for one in run.family:
                yield Move("run", one.id, one.workflow, one.status, self._fate(reason), reason)
        for schedule in await self.source.open_schedules():
            yield await self._move_schedule(schedule)

    def _fate(self, reason: str) -> Fate:
        if reason:
            return LEFT
        return WOULD_MOVE if self.is_rehearsal else MOVED

    async def _move(self, run: OpenRun) -> str:
        """Move a family; why it cannot be, or nothing."""
        try:
            for one in run.family:
                self.destination.check(one)
            if not self.is_rehearsal:
                await self.destination.take(run)
        except UnavailableError:
            raise
        except OrchestratorError as error:
            return error.message
        if not self.is_rehearsal:
            await self.source.close(run, f"moved to {self.destination.place}")
        return ""

    async def _move_schedule(self, schedule: OpenSchedule) -> Move:
        info, reason = schedule.info, ""
        if not self.is_rehearsal:
            try:
                await self.destination.take_schedule(schedule)
            except UnavailableError:
                raise
            except OrchestratorError as error:
                reason = error.message
            else:
                await self.source.close_schedule(info.id)
        return Move("schedule", info.id, info.workflow, info.status, self._fate(reason), reason)

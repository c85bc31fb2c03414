"""A handle on one run of the embedded engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from orchestrator.durable.embedded.history import event_of, steps_of
from orchestrator.durable.errors import (
    Failure,
    MismatchError,
    RunCancelledError,
    RunFailedError,
    RunTerminatedError,
)
from orchestrator.durable.payloads import to_json
from orchestrator.durable.runs import LAST_EVENTS, EventType, Prefix, Recorded, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from orchestrator.durable.embedded.engine import EmbeddedEngine
    from orchestrator.durable.runs import Event, RunInfo, StepView
    from orchestrator.streams import Entry

Out = TypeVar("Out")

_STEP_ENDS = frozenset({EventType.STEP_COMPLETED, EventType.STEP_CANCELLED})
_OTHER_OUTCOMES = frozenset({EventType.TIMER_FIRED, EventType.SIGNAL_RECEIVED, EventType.PUBLISHED})


class EmbeddedRun(Generic[Out]):
    """A run by its id; the engine and the journal know the rest."""

    def __init__(self, engine: EmbeddedEngine, number: int, run_id: str) -> None:
        self._engine = engine
        self._number = number
        self.id = run_id

    def __repr__(self) -> str:
        return f"<run {self.id}>"

    async def result(self) -> Out:
        """Wait for the end and give the result.

        Raises:
            RunFailedError: it failed. RunCancelledError: it was cancelled. RunTerminatedError: it was ended.
            MismatchError: it is stuck: its code no longer fits its history.
            JournalError: the engine cannot write any more.
        """
        row, data = await self._engine.ended(self.id)
        match row.status:
            case Status.COMPLETED:
                return self._engine.decode_result(row.workflow, data)  # type: ignore[no-any-return]  # Out by start()
            case Status.FAILED:
                raise RunFailedError(self.id, Failure.model_validate_json(data))
            case Status.CANCELLED:
                raise RunCancelledError(f"run {self.id} was cancelled")
            case Status.STUCK:
                raise MismatchError(f"run {self.id} is stuck: {row.reason}")
            case _:
                raise RunTerminatedError(f"run {self.id} was ended from outside")

    async def describe(self) -> RunInfo:
        """Where it stands now.

        Raises:
            NotFoundError: it was deleted.
        """
        return self._engine.info(self.id)

    async def steps(self) -> list[StepView]:
        """Its steps in the order in which they first started."""
        return steps_of([event_of(entry) for entry in await self._engine.entries(self._number)])

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Its events from ``after`` (exclusive) on, live, until its last one."""
        async for entry in self._engine.follow(self._number, self.id, after):
            event = event_of(entry)
            yield event
            if event.type in LAST_EVENTS:
                return

    async def signal(self, name: str, data: object = None, *, id: str | None = None) -> None:
        """Send what a ``ctx.receive(name)`` waits for; durable when this returns.

        Raises:
            RunClosedError: the run has ended.
            PayloadError: ``data`` has no JSON form.
        """
        await self._engine.signal(self.id, name, to_json(data, f"signal {name}"), id)

    async def cancel(self) -> None:
        """Ask it to stop; on a stuck run, whose code cannot run, end it at once. Nothing if it has ended."""
        await self._engine.cancel(self.id)

    async def recorded(self, *, until: str | None = None) -> Prefix:
        """What it recorded, up to (and without) the first start of the step named ``until``.

        Without ``until``, up to the first step that failed.
        """
        entries = await self._engine.entries(self._number)
        row = self._engine.row(self.id)
        return Prefix(
            seed=row.seed,
            began_at=entries[0].at,
            entries=tuple(_outcomes(_before(entries, until))),
        )


def _before(entries: Sequence[Entry], until: str | None) -> Sequence[Entry]:
    for index, entry in enumerate(entries):
        event_type = EventType(entry.type)
        if until is None and event_type is EventType.STEP_FAILED:
            return entries[:index]
        if event_type is EventType.STEP_STARTED and event_of(entry).name == until:
            return entries[:index]
    return entries


def _outcomes(entries: Sequence[Entry]) -> list[Recorded]:
    """The outcomes among ``entries``, and the starts of the steps that have one."""
    ended = {entry.key for entry in entries if entry.type in _STEP_ENDS}
    return [
        Recorded(EventType(entry.type), entry.key, entry.at, entry.data)
        for entry in entries
        if entry.type in _OTHER_OUTCOMES or entry.key in ended
        if entry.type != EventType.STEP_PROGRESS
    ]

"""A handle on one run of the embedded engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from orchestrator.durable.entries import event_of, steps_of
from orchestrator.durable.errors import (
    Failure,
    MismatchError,
    RunCancelledError,
    RunFailedError,
    RunTerminatedError,
)
from orchestrator.durable.names import chosen
from orchestrator.durable.payloads import to_json
from orchestrator.durable.prefix import prefix_of
from orchestrator.durable.runs import LAST_EVENTS, SAME_INPUT, Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.durable.embedded.engine import EmbeddedEngine
    from orchestrator.durable.runs import Event, Prefix, RunInfo, StepView

Out = TypeVar("Out")


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
        row, data = await self._engine.access.ended(self.id)
        match row.status:
            case Status.COMPLETED:
                return self._engine.access.decode_result(row.workflow, data)  # type: ignore[no-any-return]  # Out by start()
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
        return await self._engine.access.info(self.id)

    async def steps(self) -> list[StepView]:
        """Its steps in the order in which they first started."""
        entries = await self._engine.access.entries(self._number)
        return steps_of([event_of(entry, self._engine.access.redactor) for entry in entries])

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Its events from ``after`` (exclusive) on, live, until its last one."""
        async for entry in self._engine.access.follow(self._number, self.id, after):
            event = event_of(entry, self._engine.access.redactor)
            yield event
            if event.type in LAST_EVENTS:
                return

    async def signal(self, name: str, data: object = None, *, id: str | None = None) -> None:
        """Send what a ``ctx.receive(name)`` waits for; durable when this returns.

        Raises:
            RunClosedError: the run has ended.
            PayloadError: ``data`` has no JSON form. PayloadTooLargeError: or too large a one.
        """
        await self._engine.access.signal(self.id, chosen(name, "signal"), to_json(data, f"signal {name}"), id)

    async def cancel(self, *, force_after: float | None = None) -> None:
        """Ask it to stop, and end it without its code ``force_after`` seconds later if it is still open.

        A stuck run, whose code cannot run, ends at once. Nothing if it has ended.

        Raises:
            ValueError: ``force_after`` is negative or not finite.
        """
        await self._engine.access.cancel(self.id, force_after)

    async def pause(self) -> None:
        """Begin no new step or child until it is resumed.

        Raises:
            RunClosedError: it has ended or is stuck.
        """
        await self._engine.access.pause(self.id)

    async def resume(self) -> None:
        """Go on after a pause; a stuck run is tried again with the code at hand.

        Raises:
            RunClosedError: it has ended. MismatchError: it is stuck still; the message says why.
        """
        await self._engine.access.resume(self.id)

    async def recorded(self, *, until: str | None = None) -> Prefix:
        """What it recorded before the step ``until`` began, or what came before a failure or a cancel.

        Raises:
            InvalidInputError: it has no such step, or one that began only after a cancel.
        """
        row, entries = await self._engine.access.history(self.id)
        return prefix_of(row.seed, entries, until)

    async def fork(
        self, *, from_step: str | None = None, with_input: Any = SAME_INPUT, id: str | None = None
    ) -> EmbeddedRun[Out]:
        """Start another run with what this one recorded up to ``from_step``. See the port for the arguments.

        Raises:
            InvalidInputError: there is no such step; or none is named, and nothing failed or was cancelled.
            ConflictError: another run has this id.
            NotRegisteredError: the engine was not given the workflow.
            PayloadError: ``with_input`` is not what the workflow takes.
        """
        return await self._engine.fork(self.id, from_step, with_input, id)

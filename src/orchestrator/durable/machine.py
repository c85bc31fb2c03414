"""What a context needs of its engine: the `Machine`, which each engine has its own of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio

    from orchestrator.durable.steps import StepDefinition
    from orchestrator.durable.workflows import Workflow


@dataclass(frozen=True, slots=True)
class Operation:
    """The identity of one operation: its branch and number (``2``, ``3.0/1``), and its name."""

    place: str
    name: str

    @property
    def key(self) -> str:
        """What a replay compares."""
        return f"{self.place}:{self.name}"


class Pending(Protocol):
    """An operation that was asked for."""

    @property
    def outcome(self) -> asyncio.Future[bytes]:
        """Its result as recorded; a StepError if it failed for good."""
        ...

    def cancel(self) -> asyncio.Future[None]:
        """Ask for its end; the future is done once it has ended, however it did."""
        ...


class Machine(Protocol):
    """What an engine does for the contexts of one run. Every call takes effect when it is called."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        ...

    @property
    def workflow(self) -> str:
        """The type name of its workflow."""
        ...

    @property
    def seed(self) -> bytes:
        """What the run's randomness comes from; a fork has the same."""
        ...

    @property
    def most_payload_bytes(self) -> int:
        """The most that one value may take, encoded."""
        ...

    def stay_alive(self) -> None:
        """End code that may not go on: its run left memory, or Python throws it away in the midst of another.

        Asked before every operation takes its number, which may be another run's.
        """
        ...

    def now(self) -> float:
        """The time of the last thing delivered to the run, in seconds since 1970; never backwards."""
        ...

    def run(self, operation: Operation, step: StepDefinition, arguments: bytes) -> Pending:
        """Start a step."""
        ...

    def check_step(self, step: StepDefinition) -> None:
        """Refuse a step that this engine is known not to have.

        Raises:
            NotRegisteredError: the engine was not given it.
        """
        ...

    def child(
        self, operation: Operation, workflow: Workflow[Any, Any], data: bytes, id: str | None
    ) -> Pending:
        """Start a child run on recorded input, under ``id`` or one that follows from the operation."""
        ...

    def sleep(self, operation: Operation, seconds: float) -> asyncio.Future[None]:
        """A future that is done when the time has come."""
        ...

    def receive(self, operation: Operation, name: str, timeout: float | None) -> asyncio.Future[bytes]:
        """A future of the next signal of that name; a TimeoutError after ``timeout`` seconds."""
        ...

    def encode_input(self, input: object) -> bytes:
        """Input for the run's own workflow as it is recorded.

        Raises:
            PayloadError: it is not of the workflow's type.
        """
        ...

    def publish(self, operation: Operation, name: str, data: bytes) -> None:
        """Add an event for watchers."""
        ...

"""The port: what every engine offers. Its contract suite is ``tests/contract/test_engine.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from orchestrator.durable.runs import Event, Prefix, RunInfo, Status, StepView
    from orchestrator.durable.workflows import Workflow

I = TypeVar("I")  # noqa: E741  # I and O: input and output
O = TypeVar("O")  # noqa: E741
Out = TypeVar("Out", covariant=True)


class Run(Protocol[Out]):
    """A handle on one run. It holds no state of its own, and any number may exist."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    async def result(self) -> Out:
        """Wait for the end and give the result.

        Raises:
            RunFailedError: it failed. RunCancelledError: it was cancelled. RunTerminatedError: it was ended.
        """
        ...

    async def describe(self) -> RunInfo:
        """Where it stands now."""
        ...

    async def steps(self) -> list[StepView]:
        """Its steps in the order in which they first started."""
        ...

    def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Its events from ``after`` (exclusive) on, live, until its last one."""
        ...

    async def signal(self, name: str, data: object = None, *, id: str | None = None) -> None:  # noqa: A002
        """Send what a ``ctx.receive(name)`` waits for; durable when this returns.

        The same ``id`` twice counts once.

        Raises:
            RunClosedError: the run has ended.
        """
        ...

    async def cancel(self) -> None:
        """Ask it to stop: its code sees a CancelledError once, also in the step that is running.

        On a stuck run, whose code cannot run, it ends the run at once. On an ended run it does nothing.
        """
        ...

    async def recorded(self, *, until: str | None = None) -> Prefix:
        """What it recorded, up to (and without) the first start of the step named ``until``.

        Without ``until``, up to the first step that failed.
        """
        ...


class Engine(Protocol):
    """Starts, finds and ends runs."""

    @overload
    async def start(
        self,
        workflow: Workflow[None, O],
        *,
        id: str | None = None,  # noqa: A002
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        prefix: Prefix | None = None,
    ) -> Run[O]: ...
    @overload
    async def start(
        self,
        workflow: Workflow[I, O],
        input: I,  # noqa: A002
        *,
        id: str | None = None,  # noqa: A002
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        prefix: Prefix | None = None,
    ) -> Run[O]:
        """Start a run; it is durable when this returns.

        Args:
            workflow: one of those the engine was given.
            input: of the workflow's input type.
            id: your own id; the same one with the same input gives the same run, finished or not.
            owner: whose it is.
            tags: to find it by.
            prefix: outcomes to begin with instead of running those operations.

        Raises:
            ConflictError: another workflow or input under this id.
            PayloadTooLargeError: the input is too large.
            EngineStoppedError: the engine is not running.
        """
        ...

    async def get(self, id: str) -> Run[Any]:  # noqa: A002
        """The run of that id.

        Raises:
            NotFoundError: there is none.
        """
        ...

    async def list(
        self,
        *,
        status: Sequence[Status] = (),
        workflow: str | None = None,
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[RunInfo]:
        """Runs, newest first; ``before`` is the last id of the page before."""
        ...

    async def delete(self, id: str) -> None:  # noqa: A002
        """Forget an ended run and all it recorded.

        Raises:
            NotFoundError: there is none. ConflictError: it has not ended.
        """
        ...

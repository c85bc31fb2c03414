"""The port: what every engine offers. Its contract suite is ``tests/contract/test_engine*.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from orchestrator.durable.runs import Event, Prefix, RunInfo, Status, StepView
    from orchestrator.durable.workflows import Workflow

In = TypeVar("In")
Out = TypeVar("Out")
Out_co = TypeVar("Out_co", covariant=True)


class Run(Protocol[Out_co]):
    """A handle on one run. It holds no state of its own, and any number may exist."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    async def result(self) -> Out_co:
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

    async def signal(self, name: str, data: object = None, *, id: str | None = None) -> None:
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
    """Starts, finds and ends runs.

    ``start`` begins a run, which is durable when it returns. It takes one of the workflows that the
    engine was given; the workflow's input; ``id``, your own id, under which the same input gives the
    same run, finished or not; ``owner``, whose it is; ``tags`` to find it by; ``prefix``, outcomes to
    begin with instead of running those operations. It raises ConflictError for another workflow or input
    under this id, PayloadTooLargeError for an input that is too large, and EngineStoppedError when the
    engine is not running.
    """

    @overload
    async def start(
        self,
        workflow: Workflow[None, Out],
        *,
        id: str | None = None,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        prefix: Prefix | None = None,
    ) -> Run[Out]: ...
    @overload
    async def start(
        self,
        workflow: Workflow[In, Out],
        input: In,
        *,
        id: str | None = None,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        prefix: Prefix | None = None,
    ) -> Run[Out]: ...

    async def get(self, id: str) -> Run[Any]:
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

    async def delete(self, id: str) -> None:
        """Forget an ended run and all it recorded.

        Raises:
            NotFoundError: there is none. ConflictError: it has not ended.
        """
        ...

"""The port: what every engine offers. Its contract suite is ``tests/contract/test_engine*.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from orchestrator.durable.runs import SAME_INPUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from orchestrator.durable.runs import Event, Prefix, RunInfo, Status, StepView
    from orchestrator.durable.schedules import ScheduleInfo
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
            MismatchError: it is stuck, and waits for code that fits.
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

    async def cancel(self, *, force_after: float | None = None) -> None:
        """Ask it to stop: its code sees a CancelledError once, also in the step that is running.

        A run that has not ended ``force_after`` seconds later is ended without its code: nothing is cleaned
        up or compensated any more. 0 ends it now. The time counts through restarts, and of several calls the
        earliest counts. On a stuck run, whose code cannot run, a cancel ends the run at once. On an ended run
        it does nothing.

        Raises:
            ValueError: ``force_after`` is negative or not finite.
        """
        ...

    async def pause(self) -> None:
        """Begin no new step or child until it is resumed, through restarts too; durable when this returns.

        What runs goes on to its end, and deadlines go on. A paused run can be signalled and cancelled.

        Raises:
            RunClosedError: the run has ended or is stuck.
        """
        ...

    async def resume(self) -> None:
        """Go on after a pause; a stuck run is tried again with the code at hand.

        Raises:
            RunClosedError: the run has ended. MismatchError: it is stuck still; the message says why.
        """
        ...

    async def recorded(self, *, until: str | None = None) -> Prefix:
        """What it recorded before the step ``until`` began, for another run to begin with.

        ``until`` is a step's name, for its first start, or an operation: ``3:fetch``, ``3``, ``3.0/1``.
        Without it, what came before the first step that failed, or before a cancel.

        Raises:
            InvalidInputError: it has no such step, or one that began only after a cancel.
        """
        ...

    async def fork(
        self, *, from_step: str | None = None, with_input: Any = SAME_INPUT, id: str | None = None
    ) -> Run[Out_co]:
        """Start another run with what this one recorded up to ``from_step``, which runs anew as all later do.

        It works on open, ended and stuck runs, and leaves them as they are. ``from_step`` is as ``until`` of
        ``recorded``; without it the fork takes up what the first failure or a cancel ended. The fork has the
        owner, the tags and the seed of the first run, and a tag ``forked_from`` with its id; a wait that was
        open keeps what was left of it. ``with_input`` replaces the input, by a value of its type or its
        JSON: where what was recorded does not fit it, the fork is stuck and says so. The same fork under the
        same ``id`` is the same run.

        Raises:
            InvalidInputError: there is no such step; or none is named, and nothing failed or was cancelled.
            ConflictError: another run has this id.
            NotRegisteredError: the engine was not given the workflow.
            PayloadError: ``with_input`` is not what the workflow takes.
        """
        ...


class Schedule(Protocol):
    """A handle on one schedule. Every method raises NotFoundError once it is deleted."""

    @property
    def id(self) -> str:
        """The schedule's id."""
        ...

    async def describe(self) -> ScheduleInfo:
        """Where it stands now."""
        ...

    async def pause(self) -> None:
        """Start nothing until ``resume``; a run that is open goes on."""
        ...

    async def resume(self) -> None:
        """Start runs again, from the next time on; what passed meanwhile does not happen.

        Raises:
            NotRegisteredError: the engine was not given its workflow.
        """
        ...

    async def run_now(self) -> Run[Any]:
        """Start a run at once, beside its times, also of a paused schedule.

        Raises:
            ConflictError: its last run is still open. NotRegisteredError: its workflow is not there.
        """
        ...

    async def delete(self) -> None:
        """Forget it. Its runs stay, and those that are open go on."""
        ...


class Engine(Protocol):
    """Starts, finds and ends runs, now and by schedule.

    ``start`` begins a run, which is durable when it returns. It takes one of the workflows that the
    engine was given; the workflow's input; ``id``, your own id, under which the same input gives the
    same run, finished or not; ``owner``, whose it is; ``tags`` to find it by; ``priority``, from 1,
    which is served first, to 5, with 3 as the normal one; ``prefix``, outcomes to begin with instead of
    running those operations. A run that a limit of its workflow keeps waiting is pending: it can be
    signalled, and a cancel ends it before its code began. It raises ConflictError for another workflow or
    input under this id, InvalidInputError for another priority or where a limit finds no key in the input,
    PayloadTooLargeError for an input that is too large, and EngineStoppedError when the engine is not
    running.

    ``schedule`` starts such a run at every time of ``cron`` (five fields, or a macro such as ``@daily``) as
    the clocks of ``zone`` show it, each under the id ``{id}@{time in UTC, RFC 3339}`` and with a tag
    ``schedule={id}``. A time that a day does not have does not happen, one that comes twice happens once; one
    at which the run before is still open is skipped; one at which no engine ran is started late if that is at
    most ``catch_up`` seconds ago. The input is checked and recorded when this is called. The same id with
    the same settings does nothing; with others it replaces them, and the schedule stays paused if it was,
    and keeps what it has done. It raises InvalidInputError for settings that say nothing clear, and
    otherwise what ``start`` raises.
    """

    @overload
    async def start(
        self,
        workflow: Workflow[None, Out],
        *,
        id: str | None = None,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        priority: int = ...,
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
        priority: int = ...,
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

    async def give(self, giver: str, taker: str) -> int:
        """Make the giver's ended runs the taker's; how many there were. Open ones stay what they are.

        A cluster's runs keep their owner: there it gives none.
        """
        ...

    @overload
    async def schedule(
        self,
        workflow: Workflow[None, Any],
        *,
        id: str,
        cron: str,
        zone: str = "UTC",
        catch_up: float = ...,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        priority: int = ...,
    ) -> Schedule: ...
    @overload
    async def schedule(
        self,
        workflow: Workflow[In, Any],
        input: In,
        *,
        id: str,
        cron: str,
        zone: str = "UTC",
        catch_up: float = ...,
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        priority: int = ...,
    ) -> Schedule: ...

    async def get_schedule(self, id: str) -> Schedule:
        """The schedule of that id.

        Raises:
            NotFoundError: there is none.
        """
        ...

    async def schedules(self) -> Sequence[ScheduleInfo]:
        """All schedules, by id."""
        ...

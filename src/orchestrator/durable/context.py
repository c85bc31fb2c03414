"""What a workflow sees: its context. The same class on every engine; engines differ in the `Machine`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, overload
from uuid import UUID

from orchestrator.core.clock import utc
from orchestrator.durable.compensation import Compensations, Undo
from orchestrator.durable.errors import CompensationError, ContinueAs, Evicted, Misfit
from orchestrator.durable.machine import Operation
from orchestrator.durable.names import chosen
from orchestrator.durable.payloads import Payload, PayloadError, to_json
from orchestrator.durable.steps import definition_of
from orchestrator.durable.workflows import check_is_workflow

if TYPE_CHECKING:
    from orchestrator.durable.errors import FailedUndo
    from orchestrator.durable.machine import Machine, Pending
    from orchestrator.durable.steps import Op, StepDefinition, Unbound
    from orchestrator.durable.workflows import Workflow

P = ParamSpec("P")
R = TypeVar("R")
In = TypeVar("In")
T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")

# An operation is a Coroutine[object, object, R]: what passes through it on the way is nobody's. With Any in
# those places mypy could not tell the overloads of gather apart, and would call its results Any.

# A Temporal server fails a workflow for ever above 2,000 pending operations; half of it is safe on both.
MOST_AT_ONCE = 1_000


@dataclass(slots=True)
class Branch:
    """A line of a run's code that numbers its own operations."""

    path: str
    taken: int = 0
    randomness: dict[str, Random] = field(default_factory=dict)

    def next(self) -> str:
        """Take the next number, as a place: its path and the number."""
        self.taken += 1
        return f"{self.path}{self.taken}"


# What is called outside any run has no branch; the machine refuses it with a sentence.
_branch: ContextVar[Branch] = ContextVar("orchestrator_branch", default=Branch("outside/"))  # noqa: B039


@dataclass(frozen=True, slots=True)
class WorkflowInfo:
    """Which run this is."""

    run_id: str
    workflow: str


class Context:
    """The one way from a workflow to everything outside it.

    An operation takes its number when it is called, not when it is awaited. Code that runs several operations
    each side by side goes through ``gather`` or ``map``, which give every branch its own numbers.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._in_flight: dict[str, Pending] = {}
        self._compensations = Compensations()
        self._is_over = False
        _branch.set(Branch(""))

    @property
    def info(self) -> WorkflowInfo:
        """Which run this is."""
        return WorkflowInfo(self._machine.run_id, self._machine.workflow)

    @overload
    def run(
        self, step: Op[P, R, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, R]: ...
    @overload
    def run(
        self, step: Unbound[Any, P, R, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, R]: ...
    def run(self, step: Any, /, *args: Any, **kwargs: Any) -> Coroutine[object, object, Any]:
        """Run a step, once: a recorded outcome is never computed again. Await what this gives.

        Raises:
            StepError: when awaited, the step failed for good.
            PayloadError: an argument has no JSON form.
        """
        definition = definition_of(step, "run")
        arguments = definition.arguments.encode(args, kwargs, self._machine.most_payload_bytes)
        return self._begin(self._operation(definition.name), definition, arguments)

    @overload
    def compensate(self, step: Op[P, Any, Any], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def compensate(self, step: Unbound[Any, P, Any, Any], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    def compensate(self, step: Any, /, *args: Any, **kwargs: Any) -> None:
        """Register the step that undoes what the run is about to do, or has done.

        When the run fails or is cancelled, all that it registered runs in reverse order, one step after the
        other, each with its own retries, through crashes and further cancels. Then the run ends as it would
        have. An undo that fails for good does not keep the others from running; the run then fails with a
        `CompensationError`. A run that completes, or is ended by force, undoes nothing.

        Register before the step that needs undoing where its outcome may be lost, after it where the undo
        needs its result. The arguments are written down now, so what happens to them later is without effect.

        Raises:
            NotRegisteredError: the engine was not given this step.
            PayloadError: an argument has no JSON form.
        """
        self._check_open()
        definition = definition_of(step, "compensate")
        self._machine.check_step(definition)
        arguments = definition.arguments.encode(args, kwargs, self._machine.most_payload_bytes)
        self._compensations.add(definition, arguments)

    @overload
    async def map(self, step: Op[[T], R, Any], items: Iterable[T], *, at_once: int = ...) -> list[R]: ...
    @overload
    async def map(
        self, step: Unbound[Any, [T], R, Any], items: Iterable[T], *, at_once: int = ...
    ) -> list[R]: ...
    async def map(self, step: Any, items: Iterable[Any], *, at_once: int = MOST_AT_ONCE) -> list[Any]:
        """Run a step on every item, at most ``at_once`` side by side; results in the items' order.

        The first failure cancels the rest and is raised.

        Raises:
            ValueError: ``at_once`` outside 1 to 1,000.
        """
        if not 1 <= at_once <= MOST_AT_ONCE:
            raise ValueError(f"map(at_once={at_once}): give 1 to {MOST_AT_ONCE:,}")
        slots = asyncio.Semaphore(at_once)

        async def one(item: Any) -> Any:
            async with slots:
                return await self.run(step, item)

        return list(await self.gather(*[one(item) for item in list(items)]))

    @overload
    async def gather(self, a: Awaitable[T1], b: Awaitable[T2], /) -> tuple[T1, T2]: ...
    @overload
    async def gather(self, a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], /) -> tuple[T1, T2, T3]: ...
    @overload
    async def gather(
        self, a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], d: Awaitable[T4], /
    ) -> tuple[T1, T2, T3, T4]: ...
    @overload
    async def gather(
        self, a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], d: Awaitable[T4], e: Awaitable[T5], /
    ) -> tuple[T1, T2, T3, T4, T5]: ...
    @overload
    async def gather(self, *branches: Awaitable[T]) -> tuple[T, ...]: ...
    async def gather(self, *branches: Awaitable[Any]) -> tuple[Any, ...]:
        """Run branches side by side, each with operations numbered on their own; results in their order.

        Give coroutines of functions that have not begun: ``ctx.gather(research(ctx, a), research(ctx, b))``.
        The first failure cancels the other branches, waits for them, and is raised.
        """
        self._stay_alive_for(branches)
        place = _branch.get().next()
        tasks = [
            asyncio.create_task(_whole(work), context=_branch_context(f"{place}.{index}/"))
            for index, work in enumerate(branches)
        ]
        try:
            return tuple(await asyncio.gather(*tasks))
        except GeneratorExit:
            raise  # the code is thrown away; what waits now would keep Python from doing so
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    @overload
    def child(
        self, workflow: Workflow[None, R], /, *, id: str | None = None
    ) -> Coroutine[object, object, R]: ...
    @overload
    def child(
        self, workflow: Workflow[In, R], input: In, /, *, id: str | None = None
    ) -> Coroutine[object, object, R]: ...
    def child(
        self,
        workflow: Workflow[Any, Any],
        input: Any = None,  # the word of the contract
        /,
        *,
        id: str | None = None,  # likewise
    ) -> Coroutine[object, object, Any]:
        """Run another workflow as a run of its own, once. Await what this gives for its result.

        The child has the owner and priority of this run, and its own history, steps and retries. A cancel of
        this run reaches it; a child that is still open when this run ends is cancelled.

        Args:
            workflow: the engine must have been given it.
            input: its input.
            id: of the child's run; one that follows from this run's id and the operation, if left out.

        Raises:
            ChildError: when awaited, it failed, was cancelled or ended, or ``id`` is that of another run: one
                that is not this run's child, or has another workflow or input.
            PayloadError: the input has no JSON form.
        """
        check_is_workflow(workflow, "ctx.child")
        data = workflow.input.record(input, self._machine.most_payload_bytes)
        if id is not None:
            _text(chosen(id, "run"))
        operation = self._operation(f"child {workflow.name}")
        pending = self._machine.child(operation, workflow, data, id)
        self._in_flight[operation.place] = pending
        return _Begun(partial(self._outcome, operation.place, pending, workflow.output))

    def continue_as(self, input: object = None) -> NoReturn:
        """End this history here and begin the workflow anew with ``input``, under the same id.

        For workflows without an end, whose history would grow for ever: it keeps what was signalled and not
        received, and forgets everything else, registered compensations included. Steps and children that are
        still open are cancelled.

        Raises:
            PayloadError: ``input`` is not of the workflow's type.
        """
        self._check_open()
        raise ContinueAs(self._machine.encode_input(input))

    def sleep(self, duration: float | timedelta) -> Coroutine[object, object, None]:
        """Wait for that many seconds, through restarts; the deadline stays what it was at the call."""
        operation = self._operation("sleep")
        return _Begun(partial(_awaited, self._machine.sleep(operation, _seconds(duration))))

    @overload
    def receive(
        self, name: str, type: type[T], *, timeout: float | timedelta | None = None
    ) -> Coroutine[object, object, T]: ...
    @overload
    def receive(
        self, name: str, *, timeout: float | timedelta | None = None
    ) -> Coroutine[object, object, Any]: ...
    def receive(
        self,
        name: str,
        type: Any = Any,  # the word of the contract
        *,
        timeout: float | timedelta | None = None,
    ) -> Coroutine[object, object, Any]:
        """Wait for the next signal of that name, in the order of arrival; one that came earlier counts.

        Raises:
            TimeoutError: when awaited, none came within ``timeout``.
            PayloadError: when awaited, its data is not of ``type``.
        """
        operation = self._operation(f"receive {_text(chosen(name, 'signal'))}")
        seconds = None if timeout is None else _seconds(timeout)
        future = self._machine.receive(operation, name, seconds)
        return _Begun(partial(_decoded, future, Payload.of(type, f"signal {name}")))

    def publish(self, name: str, data: object = None) -> None:
        """Add an event for those who watch the run; exactly once, also through crashes."""
        operation = self._operation(f"publish {_text(name)}")
        encoded = to_json(data, f"the event {name}", self._machine.most_payload_bytes)
        self._machine.publish(operation, name, encoded)

    def now(self) -> datetime:
        """The run's time, UTC: that of the last thing delivered to it. The same on every replay."""
        return utc(self._machine.now())

    @property
    def random(self) -> Random:
        """This branch's own random generator. The same on every replay."""
        return self._generator("random")

    def uuid(self) -> UUID:
        """A random UUID (version 4). The same on every replay."""
        return UUID(int=self._generator("uuid").getrandbits(128), version=4)

    async def carry_out(self, code: Callable[[], Awaitable[T]]) -> T:
        """Run the whole code of a run, for `Workflow.begin`: where it does not complete, undo what it did.

        Raises:
            CompensationError: it failed or was cancelled, and so did some of its undos fail.
        """
        loop = asyncio.get_running_loop()
        try:
            return await code()
        except (Exception, asyncio.CancelledError) as error:
            # Code that Python throws away, since its engine has gone, runs wherever the garbage is collected.
            if self._compensations and _is_running(loop):
                await self._compensate(error)
            raise

    async def _compensate(self, cause: BaseException) -> None:
        self._is_over = True
        # A task of its own, so that a cancel that comes now reaches none of the undos. It may never come to
        # run: an engine that evicts the run cancels its code too.
        undoing = asyncio.create_task(_Begun(self._undo))
        await _to_the_end(undoing)
        failed = undoing.result()
        if failed:
            raise CompensationError.of(cause, failed) from cause

    async def _undo(self) -> list[FailedUndo]:
        """Undo, once no step is at work whose effect an undo would miss."""
        stopping = [pending.cancel() for pending in self._in_flight.values() if not pending.outcome.done()]
        for ended in stopping:
            await ended
        return await self._compensations.run(self._perform)

    def _perform(self, place: str, undo: Undo) -> Awaitable[object]:
        return self._begin(Operation(place, undo.step.name), undo.step, undo.arguments)

    def _begin(
        self, operation: Operation, step: StepDefinition, arguments: bytes
    ) -> Coroutine[Any, Any, Any]:
        pending = self._machine.run(operation, step, arguments)
        self._in_flight[operation.place] = pending
        return _Begun(partial(self._outcome, operation.place, pending, step.result))

    async def _outcome(self, place: str, pending: Pending, result: Payload) -> Any:
        try:
            data = await pending.outcome
        except asyncio.CancelledError:
            await _to_the_end(pending.cancel())
            raise
        finally:
            del self._in_flight[place]
        try:
            return result.decode(data)
        except PayloadError as error:
            # It fitted when it was recorded, so the code has changed.
            raise Misfit(error.message) from error

    def _operation(self, name: str) -> Operation:
        """The next operation of the branch that asks."""
        self._check_open()
        self._machine.stay_alive()
        return Operation(_branch.get().next(), name)

    def _stay_alive_for(self, branches: Iterable[Awaitable[Any]]) -> None:
        """End code that may not go on, and with it what it would have run."""
        try:
            self._machine.stay_alive()
        except BaseException:
            for branch in branches:
                if isinstance(branch, Coroutine):
                    branch.close()
            raise

    def _check_open(self) -> None:
        """Keep what is left of a run's code from doing more while the run is being undone."""
        if self._is_over:
            raise Evicted

    def _generator(self, purpose: str) -> Random:
        branch = _branch.get()
        if purpose not in branch.randomness:
            seed = hashlib.sha256(self._machine.seed + f"{branch.path}{purpose}".encode()).digest()
            branch.randomness[purpose] = Random(seed)  # noqa: S311  # replays must repeat it
        return branch.randomness[purpose]


def next_place() -> str:
    """Take the next number of the branch that is running, for an engine's own operations."""
    return _branch.get().next()


class _Begun(Coroutine[Any, Any, R]):
    """Awaits what has begun already, so that a task of it sees a cancel that comes before its first turn.

    A coroutine of Python that never ran is dropped by a cancel, and its operation would go on unwanted. Its
    coroutine is made when somebody awaits: Python warns of one that a cancelled run never came to await.
    """

    def __init__(self, awaiting: Callable[[], Coroutine[Any, Any, R]]) -> None:
        self._make = awaiting
        self._made: Coroutine[Any, Any, R] | None = None

    def send(self, value: Any) -> Any:
        return self._awaiting().send(value)

    def throw(self, *error: Any) -> Any:
        if self._made is None:
            self.send(None)
        return self._awaiting().throw(*error)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def __await__(self) -> Generator[Any, Any, R]:
        return self._awaiting().__await__()

    def _awaiting(self) -> Coroutine[Any, Any, R]:
        if self._made is None:
            self._made = self._make()
        return self._made


async def _to_the_end(ended: asyncio.Future[Any]) -> None:
    """Wait for something that ends by itself, even when cancelled."""
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            continue


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _awaited(future: asyncio.Future[T]) -> T:
    try:
        return await future
    except asyncio.CancelledError:
        future.cancel()
        raise


async def _decoded(future: asyncio.Future[bytes], payload: Payload) -> Any:
    return payload.decode(await _awaited(future))


async def _whole(work: Awaitable[T]) -> T:
    return await work


def _branch_context(path: str) -> Any:
    context = copy_context()
    context.run(_branch.set, Branch(path))
    return context


def _text(name: str) -> str:
    """``name`` itself, if it can be written down.

    Raises:
        ValueError: it holds half a surrogate pair.
    """
    name.encode()
    return name


def _seconds(duration: float | timedelta) -> float:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"cannot wait for {seconds} seconds; give 0 or more")
    return seconds

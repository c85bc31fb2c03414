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
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload
from uuid import UUID

from orchestrator.core.clock import utc
from orchestrator.durable.errors import Misfit
from orchestrator.durable.payloads import Payload, PayloadError, to_json

if TYPE_CHECKING:
    from orchestrator.durable.steps import Op, StepDefinition, Unbound

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")

# A Temporal server fails a workflow for ever above 2,000 pending operations; half of it is safe on both.
MOST_AT_ONCE = 1_000


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

    def now(self) -> float:
        """The time of the last thing delivered to the run, in seconds since 1970; never backwards."""
        ...

    def run(self, operation: Operation, step: StepDefinition, arguments: bytes) -> Pending:
        """Start a step."""
        ...

    def sleep(self, operation: Operation, seconds: float) -> asyncio.Future[None]:
        """A future that is done when the time has come."""
        ...

    def receive(self, operation: Operation, name: str, timeout: float | None) -> asyncio.Future[bytes]:
        """A future of the next signal of that name; a TimeoutError after ``timeout`` seconds."""
        ...

    def publish(self, operation: Operation, name: str, data: bytes) -> None:
        """Add an event for watchers."""
        ...


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
        _branch.set(Branch(""))

    @property
    def info(self) -> WorkflowInfo:
        """Which run this is."""
        return WorkflowInfo(self._machine.run_id, self._machine.workflow)

    @overload
    def run(self, step: Op[P, R, Any], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def run(
        self, step: Unbound[Any, P, R, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    def run(self, step: Any, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Run a step, once: a recorded outcome is never computed again. Await what this gives.

        Raises:
            StepError: when awaited, the step failed for good.
            PayloadError: an argument has no JSON form.
        """
        definition: StepDefinition = step.definition
        arguments = definition.arguments.encode(args, kwargs)
        operation = Operation(_branch.get().next(), definition.name)
        return _Begun(
            partial(_outcome, self._machine.run(operation, definition, arguments), definition.result)
        )

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
        place = _branch.get().next()
        tasks = [
            asyncio.create_task(_whole(work), context=_branch_context(f"{place}.{index}/"))
            for index, work in enumerate(branches)
        ]
        try:
            return tuple(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def sleep(self, duration: float | timedelta) -> Coroutine[Any, Any, None]:
        """Wait for that many seconds, through restarts; the deadline stays what it was at the call."""
        operation = Operation(_branch.get().next(), "sleep")
        return _Begun(partial(_awaited, self._machine.sleep(operation, _seconds(duration))))

    @overload
    def receive(
        self, name: str, type: type[T], *, timeout: float | timedelta | None = None
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def receive(self, name: str, *, timeout: float | timedelta | None = None) -> Coroutine[Any, Any, Any]: ...
    def receive(
        self,
        name: str,
        type: Any = Any,  # the word of the contract
        *,
        timeout: float | timedelta | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Wait for the next signal of that name, in the order of arrival; one that came earlier counts.

        Raises:
            TimeoutError: when awaited, none came within ``timeout``.
            PayloadError: when awaited, its data is not of ``type``.
        """
        operation = Operation(_branch.get().next(), f"receive {_text(name)}")
        seconds = None if timeout is None else _seconds(timeout)
        future = self._machine.receive(operation, name, seconds)
        return _Begun(partial(_decoded, future, Payload.of(type, f"signal {name}")))

    def publish(self, name: str, data: object = None) -> None:
        """Add an event for those who watch the run; exactly once, also through crashes."""
        operation = Operation(_branch.get().next(), f"publish {_text(name)}")
        self._machine.publish(operation, name, to_json(data, f"the event {name}"))

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


async def _outcome(pending: Pending, result: Payload) -> Any:
    try:
        data = await pending.outcome
    except asyncio.CancelledError:
        await _to_the_end(pending.cancel())
        raise
    try:
        return result.decode(data)
    except PayloadError as error:
        # It fitted when it was recorded, so the code has changed.
        raise Misfit(error.message) from error


async def _to_the_end(ended: asyncio.Future[None]) -> None:
    """Wait for a step that was asked to stop, even when asked again."""
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            continue


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

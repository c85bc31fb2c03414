"""Steps: plain functions with side effects, whose outcome is recorded once."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from orchestrator.durable.names import chosen
from orchestrator.durable.payloads import Arguments, Payload

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C")  # what a direct call gives: a coroutine of R, or R itself for a plain `def`
S = TypeVar("S")

# A server may ask for any wait; beyond an hour we come back and look for ourselves.
LONGEST_RETRY_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step is tried, and how many seconds lie between the tries.

    ``backoff`` holds the waits in seconds; its last one is repeated. An error that says how long to wait
    (``RetryableError.retry_after``) is obeyed instead, up to an hour.
    """

    attempts: int = 1
    backoff: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        """Refuse what could never run.

        Raises:
            ValueError: ``attempts`` below 1, no wait at all, or a negative one.
        """
        if self.attempts < 1:
            raise ValueError(f"Retry(attempts={self.attempts}): a step is tried at least once")
        if not self.backoff or min(self.backoff) < 0:
            raise ValueError(f"Retry(backoff={self.backoff}): give at least one wait, each 0 seconds or more")

    def wait_after(self, attempt: int, retry_after: float | None = None) -> float:
        """Seconds to wait after ``attempt`` (1 is the first) failed."""
        if retry_after is not None:
            return min(max(retry_after, 0.0), LONGEST_RETRY_WAIT_S)
        return self.backoff[min(attempt, len(self.backoff)) - 1]


ONCE = Retry()


@dataclass(frozen=True, slots=True, eq=False)
class StepDefinition:
    """What an engine knows of a step. ``owner`` is the class whose instance it needs, if it is a method."""

    name: str
    function: Callable[..., object]
    is_async: bool
    is_method: bool
    timeout_s: float | None
    retry: Retry
    arguments: Arguments
    result: Payload


class Op(Generic[P, R_co, C]):
    """Something a workflow can run: a step that is a function, or a method bound to its instance."""

    def __init__(self, definition: StepDefinition, instance: object = None) -> None:
        self.definition = definition
        self._instance = instance

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the plain function, outside any workflow, as a unit test does."""
        bound = (self._instance, *args) if self.definition.is_method else args
        return self.definition.function(*bound, **kwargs)  # type: ignore[return-value]  # C is what the function gives

    def __repr__(self) -> str:
        return f"<step {self.definition.name}>"


class Unbound(Generic[S, P, R_co, C]):
    """A step named through its class, ``LessonSteps.write``; the engine knows the instance."""

    def __init__(self, definition: StepDefinition) -> None:
        self.definition = definition

    def __call__(self, instance: S, /, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the plain method."""
        return self.definition.function(instance, *args, **kwargs)  # type: ignore[return-value]  # as in Op

    def __repr__(self) -> str:
        return f"<step {self.definition.name}>"


class Step(Op[P, R_co, C]):
    """What ``@step`` makes of a function; in a class body it binds as a method does."""

    @overload
    def __get__(
        self: Step[Concatenate[S, Q], R, C], instance: None, owner: type[S]
    ) -> Unbound[S, Q, R, C]: ...
    @overload
    def __get__(self: Step[Concatenate[S, Q], R, C], instance: S, owner: type[S]) -> Op[Q, R, C]: ...
    def __get__(
        self: Step[Concatenate[S, Q], R, C], instance: S | None, owner: type[S]
    ) -> Unbound[S, Q, R, C] | Op[Q, R, C]:
        """The step as seen through its class, or through an instance."""
        if instance is None:
            return Unbound(self.definition)
        return Op(self.definition, instance)


def definition_of(step: object, call: str) -> StepDefinition:
    """What `Context` is to run, in its method ``call``.

    Raises:
        TypeError: it is no step.
    """
    if not isinstance(step, (Op, Unbound)):
        raise TypeError(
            f"ctx.{call}({step!r}): that is no step. Put @step on the function, and give it uncalled, its "
            f"arguments after it: ctx.{call}(step, …). A workflow runs by ctx.child(…)."
        )
    return step.definition


class StepDecorator(Protocol):
    """What ``@step(...)`` with options gives."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Step[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R, R]: ...


@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R, Coroutine[Any, Any, R]]: ...
@overload
def step(function: Callable[P, R], /) -> Step[P, R, R]: ...
@overload
def step(*, name: str | None = None, timeout: float | None = None, retry: Retry = ONCE) -> StepDecorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    retry: Retry = ONCE,
) -> Any:
    """Make a step of an async function, a plain function (run in a thread) or a method.

    Called directly it stays the function that it was. Its arguments and its result cross as JSON by their
    annotations, so annotate them.

    Args:
        function: the function, when used without options.
        name: recorded with every run; ``Class.method`` or the function's name when not given. Keep it when
            the function is renamed, or runs in flight will not find it.
        timeout: seconds that one attempt may take.
        retry: how often a failing attempt is repeated; not at all unless given.

    Raises:
        TypeError: the function takes ``*args``, ``**kwargs`` or positional-only parameters, or yields.
        ValueError: a timeout that is not positive.
    """
    if timeout is not None and timeout <= 0:
        raise ValueError(f"@step(timeout={timeout}): give seconds above 0, or leave it out for no limit")

    def decorate(function: Callable[..., Any]) -> Step[..., Any, Any]:
        return Step(_define(function, name or _name_of(function), timeout, retry))

    return decorate if function is None else decorate(function)


def _define(function: Callable[..., Any], name: str, timeout: float | None, retry: Retry) -> StepDefinition:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"step {name} yields; return a value, and use progress() for what comes before it")
    is_method = _is_method(function)
    return StepDefinition(
        name=chosen(name, "step"),
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        is_method=is_method,
        timeout_s=timeout,
        retry=retry,
        arguments=Arguments(function, name, skip_first=is_method),
        result=Payload.returned_by(function),
    )


def _name_of(function: Callable[..., Any]) -> str:
    """``Class.method`` or ``function``, without the places a test or factory defines them in."""
    return function.__qualname__.rpartition("<locals>.")[2]


def _is_method(function: Callable[..., Any]) -> bool:
    """A function written in a class body, seen before the class exists."""
    return "." in _name_of(function)

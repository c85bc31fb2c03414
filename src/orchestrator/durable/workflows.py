"""Workflows: plain async functions that survive what happens to their process."""

from __future__ import annotations

import inspect
import typing
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from orchestrator.durable.limits import named, slot_of
from orchestrator.durable.names import chosen
from orchestrator.durable.payloads import MAX_PAYLOAD_BYTES, Payload, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from orchestrator.durable.context import Context
    from orchestrator.durable.limits import Limit, Slot

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class Workflow(Generic[I_contra, O_co]):
    """What ``@workflow`` makes of an async function of a context and, mostly, one input."""

    def __init__(
        self,
        function: Callable[..., Coroutine[Any, Any, Any]],
        name: str,
        version: int,
        limits: Iterable[Limit] = (),
    ) -> None:
        context, *takes = inspect.signature(function).parameters or ("",)
        if not context:
            raise TypeError(f"workflow {name} takes no context; write `async def {name}(ctx: Context)`")
        if len(takes) > 1:
            raise TypeError(
                f"workflow {name} takes {', '.join(takes)}: take one input, a model of all it needs"
            )
        self.function = function
        self.name = name
        self.version = version
        self.takes_input = bool(takes)
        self.limits = named(limits, name)
        for limit in self.limits:
            if limit.key is not None and not takes:
                raise TypeError(f"workflow {name} takes no input in which limit {limit.name!r} finds a key")
        self.input = Payload(lambda: self._input_type(takes), f"the input of {name}")
        self.output = Payload.returned_by(function)

    @property
    def type_name(self) -> str:
        """The name that runs are pinned to: ``crawl``, and ``crawl@2`` from version 2 on."""
        return self.name if self.version == 1 else f"{self.name}@{self.version}"

    def begin(
        self, context: Context, data: bytes, most_bytes: int = MAX_PAYLOAD_BYTES
    ) -> Coroutine[Any, Any, bytes]:
        """The coroutine of one run on the recorded input; it gives the result as it is recorded.

        Raises:
            PayloadError: now, not when awaited: the recorded input does not fit.
        """
        inputs = (self.input.decode(data),) if self.takes_input else ()
        return context.carry_out(partial(self._result, context, most_bytes, *inputs))

    def input_from(self, given: object, most_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
        """Input as it is recorded, from a value of the workflow's type or what such a value is in JSON.

        Raises:
            PayloadError: it is neither. PayloadTooLargeError: it is too large.
        """
        data = to_json(given, f"the input of {self.name}", most_bytes)
        return self.input.record(self.input.decode(data), most_bytes)

    def slots(self, data: bytes) -> tuple[Slot, ...]:
        """The slots that a run on the recorded input needs.

        Raises:
            InvalidInputError: a limit finds no key in the input.
        """
        if not self.limits:
            return ()
        value = self.input.decode(data) if self.takes_input else None
        return tuple(slot_of(limit, value) for limit in self.limits)

    async def _result(self, context: Context, most_bytes: int, *inputs: object) -> bytes:
        return self.output.record(await self.function(context, *inputs), most_bytes)

    def __repr__(self) -> str:
        return f"<workflow {self.type_name}>"

    def _input_type(self, takes: list[str]) -> Any:
        if not takes:
            return None
        return typing.get_type_hints(self.function, include_extras=True).get(takes[0], Any)


def check_is_workflow(given: object, call: str) -> None:
    """Refuse what the method ``call`` cannot start.

    Raises:
        TypeError: it is no workflow.
    """
    if not isinstance(given, Workflow):
        raise TypeError(f"{call}({given!r}): that is no workflow. Put @workflow on the function.")


class WorkflowDecorator(Protocol):
    """What ``@workflow(...)`` with options gives."""

    @overload
    def __call__(
        self, function: Callable[[Context], Coroutine[Any, Any, O_co]], /
    ) -> Workflow[None, O_co]: ...
    @overload
    def __call__(
        self, function: Callable[[Context, I_contra], Coroutine[Any, Any, O_co]], /
    ) -> Workflow[I_contra, O_co]: ...


@overload
def workflow(function: Callable[[Context], Coroutine[Any, Any, O_co]], /) -> Workflow[None, O_co]: ...
@overload
def workflow(
    function: Callable[[Context, I_contra], Coroutine[Any, Any, O_co]], /
) -> Workflow[I_contra, O_co]: ...
@overload
def workflow(
    *, name: str | None = None, version: int = 1, limits: Iterable[Limit] = ()
) -> WorkflowDecorator: ...
def workflow(
    function: Callable[..., Coroutine[Any, Any, Any]] | None = None,
    /,
    *,
    name: str | None = None,
    version: int = 1,
    limits: Iterable[Limit] = (),
) -> Any:
    """Make a durable workflow of an async function ``(ctx, input) -> output`` or ``(ctx) -> output``.

    Between its operations it must be deterministic: time, randomness and everything outside come through
    the context, so that replaying what was recorded leads to the same place.

    Args:
        function: the function, when used without options.
        name: recorded with every run; the function's name when not given.
        version: raise it when the order of operations changes; runs keep the version they began with.
        limits: how many runs may be under way at once; more are pending.

    Raises:
        TypeError: not an async function, or one of more than one input; a limit with a key without an input.
        ValueError: a version below 1, an ``@`` in the name, or two limits of one name.
    """
    if version < 1:
        raise ValueError(f"@workflow(version={version}): versions begin at 1")

    def decorate(function: Callable[..., Coroutine[Any, Any, Any]]) -> Workflow[Any, Any]:
        given = name or function.__name__
        if "@" in given:
            raise ValueError(f"@workflow(name={given!r}): '@' separates name and version; leave it out")
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"workflow {given} is not an async function; write `async def`")
        return Workflow(function, chosen(given, "workflow"), version, limits)

    return decorate if function is None else decorate(function)

"""What names and attributes stand for, as far as that can be told without running anything."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property, partial
from types import ClassMethodDescriptorType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from orchestrator.durable.guard.rules import Name, member, package_of
from orchestrator.durable.steps import Op, Unbound
from orchestrator.durable.workflows import Workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN = object()

# What runs when an instance is made, entered or called.
_WHEN_MADE = (
    "__new__",
    "__init__",
    "__post_init__",
    "model_post_init",
    "__enter__",
    "__aenter__",
    "__exit__",
    "__aexit__",
)


@dataclass(frozen=True, slots=True)
class Instance:
    """Some instance of a class; which one is not known."""

    kind: type


class Callee:
    """A function of Python, and the class through which it was reached, if any."""

    def __init__(self, function: FunctionType, owner: type | None = None) -> None:
        self.function = function
        self.owner = owner

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Callee) and (self.function, self.owner) == (other.function, other.owner)

    def __hash__(self) -> int:
        return hash((self.function, self.owner))

    @property
    def name(self) -> str:
        """Its name, without the places that it is defined in."""
        return self.function.__qualname__.rpartition("<locals>.")[2]


def attribute(value: object, name: str) -> tuple[object, list[Name]]:
    """An attribute, and the names under which rules may know it. No code of the value's own runs."""
    if isinstance(value, ModuleType):
        found = vars(value).get(name, sys.modules.get(f"{value.__name__}.{name}", UNKNOWN))
        return plain(found), [(package_of(value.__name__), name)]
    if value is UNKNOWN or isinstance(value, (Op, Unbound, Workflow, FunctionType, MethodType, partial)):
        return UNKNOWN, []
    kind = value if isinstance(value, type) else value.kind if isinstance(value, Instance) else type(value)
    names = [member(base, name) for base in kind.__mro__]
    own = {} if isinstance(value, (type, Instance)) else _variables(value)
    if name in own:
        return plain(own[name]), names
    for base in kind.__mro__:
        if name in vars(base):
            return _through(vars(base)[name], kind, is_class=isinstance(value, type)), names
    return UNKNOWN, names


def has_method(kind: type, name: str) -> bool:
    """Whether instances of a class have such an attribute of their own, that is no class method's."""
    for base in kind.__mro__:
        if name in vars(base):
            return not isinstance(vars(base)[name], (classmethod, staticmethod, ClassMethodDescriptorType))
    return False


def _variables(value: object) -> Mapping[str, Any]:
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if isinstance(found, dict) else {}


def _through(found: object, kind: type, *, is_class: bool) -> object:
    """What a class's variable becomes when it is reached through the class or an instance."""
    if isinstance(found, (classmethod, staticmethod)):
        found = found.__func__
    elif isinstance(found, property) and not is_class:
        found = found.fget
    elif isinstance(found, cached_property) and not is_class:
        found = found.func
    elif isinstance(found, (Op, Unbound)):
        return found
    return Callee(found, kind) if isinstance(found, FunctionType) else found


def callees(value: object, *, called: bool) -> list[Callee]:
    """The functions of Python that run when ``value`` is called, or when who was handed it calls it."""
    if isinstance(value, Callee):
        return [value]
    if isinstance(value, FunctionType):
        return [Callee(value)]
    inside = _inside(value)
    if inside is not UNKNOWN:
        return callees(inside, called=called)
    if not called or isinstance(value, (Op, Unbound, Workflow)):
        return []
    if isinstance(value, type):
        return _methods(value, _WHEN_MADE)
    return _methods(value.kind if isinstance(value, Instance) else type(value), ("__call__",))


def _inside(value: object) -> object:
    """What a bound method, a partial or a wrapper calls."""
    if isinstance(value, MethodType):
        owner = value.__self__ if isinstance(value.__self__, type) else type(value.__self__)
        return _through(value.__func__, owner, is_class=False)
    return value.func if isinstance(value, partial) else wrapped(value)


def wrapped(value: object) -> object:
    """What a decorator made ``value`` of, if it says so."""
    return _variables(value).get("__wrapped__", UNKNOWN)


def _methods(kind: type, names: tuple[str, ...]) -> list[Callee]:
    found = (attribute(Instance(kind), name)[0] for name in names)
    return [method for method in found if isinstance(method, Callee)]


def variables_around(function: FunctionType) -> dict[str, object]:
    """What a function's closure holds by now."""
    around: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            around[name] = plain(cell.cell_contents)
        except ValueError:  # it is filled later
            continue
    return around


def parameters(callee: Callee) -> dict[str, object]:
    """What is known of a function's parameters: instances of the classes that it is annotated with."""
    function = callee.function
    known: dict[str, object] = {}
    for name, annotation in _annotations(function).items():
        kind = _annotated(annotation, function)
        if isinstance(kind, type):
            known[name] = Instance(kind)
    first = function.__code__.co_varnames[:1]
    if callee.owner is not None and first:
        is_class = first[0] in ("cls", "mcs")
        known[first[0]] = callee.owner if is_class else Instance(callee.owner)
    return known


def _annotations(function: FunctionType) -> dict[str, object]:
    try:
        return function.__annotations__
    except NameError:  # Python 3.14 evaluates them here, also those that only type checkers can
        return {}


def _annotated(annotation: object, function: FunctionType) -> object:
    if not isinstance(annotation, str):
        return annotation
    value: object = UNKNOWN
    for position, part in enumerate(annotation.split(".")):
        value = attribute(value, part)[0] if position else function.__globals__.get(part, UNKNOWN)
    return value


def global_value(names: Mapping[str, Any], name: str) -> object:
    """What a module has under ``name``, or a builtin."""
    if name in names:
        return plain(names[name])
    builtins = names.get("__builtins__", {})
    return (vars(builtins) if isinstance(builtins, ModuleType) else builtins).get(name, UNKNOWN)


def plain(value: object) -> object:
    """``value``, or UNKNOWN for a proxy that claims another class and would act when it is looked at."""
    claims = any("__class__" in vars(base) for base in type(value).__mro__[:-1])
    return UNKNOWN if claims else value

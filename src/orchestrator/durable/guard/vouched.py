"""Functions that somebody vouches for: they look as if a replay could differ, and do not."""

from __future__ import annotations

import inspect
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_vouched: set[CodeType] = set()


def deterministic(function: F) -> F:
    """Vouch for a function that workflows call: it gives the same on every replay, whatever it uses for that.

    Neither the check of workflows nor the guard of their turns looks at what it does. Use it on the smallest
    function that needs it: one that reads a table which ships with the code, or times something for a log.
    The function is given back as it is.

    Raises:
        TypeError: not a function.
    """
    inner = inspect.unwrap(function)
    if not isinstance(inner, FunctionType):
        raise TypeError(f"@deterministic is for functions, and {function!r} is none")
    _vouched.add(inner.__code__)
    return function


def is_vouched(code: CodeType) -> bool:
    """Whether somebody vouches for the function of this code."""
    return code in _vouched

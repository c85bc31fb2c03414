"""How many runs of a workflow may be under way at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``at_once`` runs are under way; more are pending until one of those has ended.

    ``key`` takes the workflow's input and gives a text: then every text has ``at_once`` runs of its own.
    Limits of the same ``name`` are one limit, also in several workflows; without one, a limit is shared by
    all versions of its workflow.

    Raises:
        ValueError: ``at_once`` is below 1.
    """

    at_once: int
    key: Callable[[Any], str] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise ValueError(f"Limit({self.at_once}): at least one run must fit, or none could ever begin")


class Slot(NamedTuple):
    """A place under a limit; ``key`` is None for a limit without keys."""

    limit: str
    key: str | None

    def __str__(self) -> str:
        return f"limit {self.limit!r}" if self.key is None else f"limit {self.limit!r} of {self.key!r}"


def named(limits: Iterable[Limit], workflow: str) -> tuple[Limit, ...]:
    """The limits of the workflow of that name, each with a name.

    Raises:
        ValueError: two of them have the same name.
    """
    found: dict[str, Limit] = {}
    for limit in limits:
        name = limit.name or (workflow if limit.key is None else f"{workflow} by key")
        if name in found:
            raise ValueError(
                f"workflow {workflow} has two limits {name!r}; give each its own, Limit(…, name=…)"
            )
        found[name] = replace(limit, name=name)
    return tuple(found.values())


def check_same(limit: Limit, other: Limit) -> None:
    """Make sure that two limits of one name are one.

    Raises:
        ValueError: they differ in their number, or only one of them has keys.
    """
    if limit.at_once != other.at_once:
        raise ValueError(
            f"limit {limit.name!r} is given as {limit.at_once} and as {other.at_once} at once; "
            "give the same number, or another name"
        )
    if (limit.key is None) != (other.key is None):
        raise ValueError(
            f"limit {limit.name!r} is given with a key and without; give both a key, or another name"
        )


def slot_of(limit: Limit, input: object) -> Slot:
    """The slot that a run with this input needs under ``limit``.

    Raises:
        InvalidInputError: the limit's key does not take the input, or gives no text.
    """
    if limit.key is None:
        return Slot(limit.name, None)
    try:
        key = limit.key(input)
    except Exception as error:
        raise InvalidInputError(
            f"the key of limit {limit.name!r} cannot be found in the input: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(key, str):
        raise InvalidInputError(
            f"the key of limit {limit.name!r} is {key!r}, of type {type(key).__name__}; it must be a str"
        )
    return Slot(limit.name, key)

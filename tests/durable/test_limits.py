"""Limits as they are declared: what is refused, and which are one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from orchestrator import Context, EmbeddedEngine, Limit, workflow
from orchestrator.core.errors import InvalidInputError
from orchestrator.durable.limits import Slot

if TYPE_CHECKING:
    from orchestrator.durable.workflows import Workflow


def limited(name: str, *limits: Limit, version: int = 1) -> Workflow[str, str]:
    """A workflow of that name with these limits."""

    @workflow(name=name, version=version, limits=limits)
    async def work(ctx: Context, text: str) -> str:
        return text

    return work


def length(text: str) -> str:
    """A key that is no text, whatever it says."""
    return cast("str", len(text))


def engine(*workflows: Workflow[str, str]) -> EmbeddedEngine:
    """An engine that is given these workflows, and not opened."""
    return EmbeddedEngine(Path("unused.db"), workflows=workflows)


@pytest.mark.parametrize("at_once", [0, -1])
def test_a_limit_lets_at_least_one_run_begin(at_once: int) -> None:
    """A limit of none would keep every run waiting for ever."""
    with pytest.raises(ValueError, match="at least one run must fit"):
        Limit(at_once)


def test_a_key_is_sought_in_an_input() -> None:
    """A workflow that takes none cannot have a limit with a key."""
    with pytest.raises(TypeError, match="takes no input in which limit 'tick by key' finds a key"):

        @workflow(limits=[Limit(1, key=str)])
        async def tick(ctx: Context) -> None: ...


def test_limits_of_one_workflow_have_names_of_their_own() -> None:
    """One without and one with a key do by themselves; two of a kind must be named."""
    assert [limit.name for limit in limited("work", Limit(2), Limit(1, key=str)).limits] == [
        "work",
        "work by key",
    ]
    with pytest.raises(ValueError, match="two limits 'work by key'; give each its own"):
        limited("work", Limit(1, key=str), Limit(2, key=str.lower))


def test_limits_of_one_name_are_one() -> None:
    """Workflows and versions that share a limit must agree on it."""
    engine(limited("work", Limit(2)), limited("work", Limit(2), version=2))
    with pytest.raises(ValueError, match="limit 'work' is given as 3 and as 2 at once"):
        engine(limited("work", Limit(2)), limited("work", Limit(3), version=2))
    with pytest.raises(ValueError, match="limit 'model' is given with a key and without"):
        engine(limited("a", Limit(2, name="model")), limited("b", Limit(2, key=str, name="model")))


def test_slots_come_from_the_input() -> None:
    """The key function gets the input as the workflow would, and must give a text."""
    work = limited("work", Limit(2), Limit(1, key=str.lower))
    assert work.slots(b'"Ada"') == (Slot("work", None), Slot("work by key", "ada"))
    with pytest.raises(InvalidInputError, match="the key of limit 'work by key' is 3, of type int"):
        limited("work", Limit(1, key=length)).slots(b'"Ada"')
    with pytest.raises(InvalidInputError, match="cannot be found in the input: IndexError"):
        limited("work", Limit(1, key=lambda text: text[9])).slots(b'"Ada"')

"""The same call again: one answer, made once."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.errors import UnavailableError
from orchestrator.features.days.agents.repeats import MOST_KEPT, KeyReusedError, Repeats


class Counted:
    """Makes the numbers 1, 2, 3 …, once it may."""

    def __init__(self) -> None:
        self.made = 0
        self.may = asyncio.Event()
        self.fails = False

    async def make(self) -> int:
        """The next number."""
        self.made += 1
        number = self.made
        await self.may.wait()
        if self.fails:
            raise UnavailableError
        return number


async def test_who_comes_again_gets_the_first_answer() -> None:
    """Also while it is still being made, and after the first caller went away."""
    counted, repeats = Counted(), Repeats[int]()
    first = asyncio.create_task(repeats.once("ada", "key", "x", counted.make))
    second = asyncio.create_task(repeats.once("ada", "key", "x", counted.make))
    await asyncio.sleep(0)
    first.cancel()
    counted.may.set()
    assert await second == 1
    assert await repeats.once("ada", "key", "x", counted.make) == 1


async def test_keys_are_a_users_own() -> None:
    """The same key of another user is another call; without a key every call is one of its own."""
    counted, repeats = Counted(), Repeats[int]()
    counted.may.set()
    calls = [("ada", "key"), ("bob", "key"), ("ada", None), ("ada", "")]
    assert [await repeats.once(user, key, "x", counted.make) for user, key in calls] == [1, 2, 3, 4]


async def test_a_key_is_for_one_request() -> None:
    """Another body under it is a mistake of the caller."""
    counted, repeats = Counted(), Repeats[int]()
    counted.may.set()
    await repeats.once("ada", "key", "x", counted.make)
    with pytest.raises(KeyReusedError, match="take a new one"):
        await repeats.once("ada", "key", "y", counted.make)


async def test_failures_are_not_kept() -> None:
    """The next try is a new one."""
    counted, repeats = Counted(), Repeats[int]()
    counted.may.set()
    counted.fails = True
    with pytest.raises(UnavailableError):
        await repeats.once("ada", "key", "x", counted.make)
    counted.fails = False
    assert await repeats.once("ada", "key", "x", counted.make) == 2


async def test_old_calls_are_forgotten() -> None:
    """So that memory is bounded."""
    counted, repeats = Counted(), Repeats[int]()
    counted.may.set()
    for number in range(MOST_KEPT + 1):
        await repeats.once("ada", f"key {number}", "x", counted.make)
    assert await repeats.once("ada", f"key {MOST_KEPT}", "x", counted.make) == MOST_KEPT + 1
    assert await repeats.once("ada", "key 0", "x", counted.make) == MOST_KEPT + 2

"""Who goes first where only one can go at a time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Final

import pytest

from orchestrator.core.precedence import SHARE, Precedence
from support.scripted_agent import settled


class Line:
    """People who want to go, and the order in which they do; each waits to be let on."""

    def __init__(self) -> None:
        self.precedence = Precedence()
        self.gone = list[str]()
        self.on = asyncio.Semaphore(0)

    def come(self, name: str, *, has_time: bool = False) -> asyncio.Task[None]:
        """Get in line."""
        return asyncio.create_task(self._pass(name, has_time=has_time))

    async def _pass(self, name: str, *, has_time: bool) -> None:
        async with self.precedence.turn(has_time=has_time):
            self.gone.append(name)
            await self.on.acquire()

    async def let_on(self, count: int) -> None:
        """Let so many go on."""
        for _ in range(count):
            self.on.release()
            await settled()


MANY: Final = 3 * SHARE


async def test_one_goes_at_a_time_in_the_order_in_which_they_came() -> None:
    """Who comes to a free way goes at once."""
    line = Line()
    people = [line.come(name) for name in "abc"]
    await settled()
    assert line.gone == ["a"]
    await line.let_on(3)
    await asyncio.gather(*people)
    assert line.gone == ["a", "b", "c"]


async def test_those_in_a_hurry_go_first() -> None:
    """Whenever they come."""
    line = Line()
    people = [line.come("first"), *[line.come(name, has_time=True) for name in ("slow", "slower")]]
    await settled()
    people.append(line.come("quick"))
    await line.let_on(4)
    await asyncio.gather(*people)
    assert line.gone == ["first", "quick", "slow", "slower"]


async def test_however_many_are_in_a_hurry_the_others_go_too() -> None:
    """Now and then one."""
    line = Line()
    people = [line.come("slow", has_time=True) for _ in range(3)]
    people += [line.come("quick") for _ in range(MANY)]
    await line.let_on(MANY + 3)
    await asyncio.gather(*people)
    places = [place for place, name in enumerate(line.gone) if name == "slow"]
    assert len(places) == 3
    assert all(later - earlier <= SHARE for earlier, later in pairwise(places))


@pytest.mark.parametrize("has_come", [False, True])
async def test_who_goes_away_holds_up_nobody(has_come: bool) -> None:  # noqa: FBT001
    """Neither while waiting nor in the moment in which its turn comes."""
    line = Line()
    first, second, third = (line.come(name) for name in ("first", "second", "third"))
    await settled()
    if has_come:
        line.on.release()
        await asyncio.wait([first])
    second.cancel()
    await line.let_on(3)
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert second.cancelled()
    assert line.gone[-1] == "third"
    line.on.release()
    await line.come("fourth")


async def test_an_error_gives_the_way_free() -> None:
    """As an end does."""
    precedence = Precedence()
    with pytest.raises(KeyError):
        async with precedence.turn():
            raise KeyError
    async with precedence.turn(has_time=True):
        pass

"""Heavy work begins no faster than the event loop keeps up."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core import pacing
from orchestrator.core.pacing import Pace

LONG_S = 60.0


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the turns of the event loop take, one after the other; later ones take none."""
    planned = list[float]()

    async def turn_s() -> float:
        await asyncio.sleep(0)
        return planned.pop(0) if planned else 0.0

    monkeypatch.setattr(pacing, "_turn_s", turn_s)
    monkeypatch.setattr(pacing, "PAUSE_S", 0)
    return planned


async def begun(pace: Pace, turns: list[float]) -> list[tuple[int, int]]:
    """Of three who come at once: which began when, and how many turns were left by then."""
    order = list[tuple[int, int]]()

    async def begin(number: int) -> None:
        await pace.turn()
        order.append((number, len(turns)))

    await asyncio.gather(*[begin(number) for number in range(3)])
    return order


async def test_a_loop_that_keeps_up_holds_nobody_back(turns: list[float]) -> None:
    """Each takes a turn and goes on, however many there are."""
    pace = Pace(lambda: False, LONG_S)
    await asyncio.gather(*[pace.turn() for _ in range(100)])
    assert turns == []


async def test_work_begins_when_turns_are_short_again(turns: list[float]) -> None:
    """In the order in which it came."""
    turns += [1.0, 1.0, 0.0, 1.0, 0.0]
    assert await begun(Pace(lambda: False, LONG_S), turns) == [(0, 2), (1, 0), (2, 0)]


async def test_who_came_last_goes_first_once_somebody_has_waited_for_long(turns: list[float]) -> None:
    """Who has waited for long has too little time left for anything."""
    assert await begun(Pace(lambda: False, patience_s=0), turns) == [(0, 0), (2, 0), (1, 0)]


async def test_who_waited_for_long_and_went_away_is_forgotten(turns: list[float]) -> None:
    """Nobody's place is kept, however long others keep coming."""
    turns += [1.0] * 1_000
    pace = Pace(lambda: False, LONG_S)
    first, *others = (asyncio.create_task(pace.turn()) for _ in range(100))
    await asyncio.sleep(0)
    for person in others:
        person.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    assert not pace._waiting
    turns.clear()
    await first


async def test_nothing_begins_while_work_falls_behind(turns: list[float]) -> None:
    """However short the turns of the event loop are."""
    behind = [True, True, False]
    await Pace(lambda: behind.pop(0), LONG_S).turn()
    assert behind == turns == []


async def test_work_goes_on_however_busy_the_loop_is(
    turns: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while at the latest."""
    monkeypatch.setattr(pacing, "LONGEST_WAIT_S", 0)
    turns += [1.0] * 3
    pace = Pace(lambda: True, LONG_S)
    await asyncio.gather(*[pace.turn() for _ in range(3)])


async def test_who_goes_away_lets_the_others_have_their_turns(turns: list[float]) -> None:
    """While it waits for a calmer moment, and while it waits for its turn."""
    turns += [1.0] * 1_000
    pace = Pace(lambda: False, LONG_S)
    first, second, third = (asyncio.create_task(pace.turn()) for _ in range(3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.sleep(0)
    first.cancel()
    turns.clear()
    await second
    await pace.turn()
    assert first.cancelled()
    assert third.cancelled()


async def test_who_goes_away_in_the_moment_of_a_turn_spoils_nobodys(turns: list[float]) -> None:
    """The one whose turn ends finds the next who is still there."""
    turns += [1.0] * 1_000
    pace = Pace(lambda: False, LONG_S)
    people = [asyncio.create_task(pace.turn()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    people[1].cancel()
    people[0].cancel()
    turns.clear()
    ends = await asyncio.gather(*people, return_exceptions=True)
    assert [type(end) for end in ends] == [asyncio.CancelledError, asyncio.CancelledError, type(None)]
    await pace.turn()

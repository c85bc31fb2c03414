"""Sharing an event loop: calls in order, a little at a time, outside of any task."""

from __future__ import annotations

import asyncio
import time

import pytest

from orchestrator.core.turns import TURN_S, Turns


async def test_calls_are_made_in_the_order_in_which_they_were_added() -> None:
    """Also those that calls add, after what was there before."""
    turns = Turns(asyncio.get_running_loop())
    made: list[int] = []
    done = asyncio.Event()
    turns.add(turns.add, made.append, 3)
    turns.add(made.append, 1)
    turns.add(made.append, 2)
    turns.add(turns.add, done.set)
    await done.wait()
    assert made == [1, 2, 3]


async def test_the_loop_gets_its_turn_between_many_calls() -> None:
    """However much is ready at once, others on the loop do not wait for all of it."""
    turns = Turns(asyncio.get_running_loop())
    made: list[float] = []

    def busy() -> None:
        end = time.perf_counter() + TURN_S
        while time.perf_counter() < end:
            pass
        made.append(end)

    for _ in range(10):
        turns.add(busy)
    seen = []
    while len(made) < 10:
        await asyncio.sleep(0)
        seen.append(len(made))
    assert len(set(seen)) == 10


async def test_calls_are_made_outside_of_tasks() -> None:
    """What they run may have tasks of its own."""
    turns = Turns(asyncio.get_running_loop())
    within: list[object] = []
    turns.add(lambda: within.append(asyncio.current_task()))
    await asyncio.sleep(0)
    assert within == [None]


async def test_a_mistake_in_a_call_is_shown_and_keeps_no_other_waiting() -> None:
    """As the loop does with callbacks of its own."""
    loop = asyncio.get_running_loop()
    shown: list[object] = []
    loop.set_exception_handler(lambda _, context: shown.append(context["exception"]))
    turns = Turns(loop)
    made: list[int] = []
    turns.add(int, "no number")
    turns.add(made.append, 1)
    await asyncio.sleep(0)
    assert made == [1]
    assert isinstance(shown[0], ValueError)


@pytest.mark.parametrize("late", [1, 2])
async def test_what_was_not_called_is_forgotten_at_the_end(late: int) -> None:
    """After a stop nothing is called any more."""
    turns = Turns(asyncio.get_running_loop())
    made: list[int] = []
    turns.add(made.append, late)
    turns.stop()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert made == []

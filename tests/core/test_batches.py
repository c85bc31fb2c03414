"""What is asked for at the same time is done at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator.core.batches import Batches
from support.scripted_agent import settled

if TYPE_CHECKING:
    from collections.abc import Sequence


class Doubling:
    """Doubles numbers, batch by batch, as often as it is let."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.done = list[tuple[str, list[int]]]()
        self.gate = asyncio.Event()
        if is_open:
            self.gate.set()
        self.batches = Batches(self.do)

    async def do(self, key: str, items: Sequence[int]) -> Sequence[int]:
        """Twice each number; a negative one spoils its batch."""
        self.done.append((key, list(items)))
        await self.gate.wait()
        if min(items) < 0:
            raise ValueError("negative")
        return [2 * item for item in items]


async def test_each_gets_its_own_outcome_of_one_batch_per_key() -> None:
    """In the order in which they asked."""
    doubling = Doubling()
    asked = [doubling.batches.ask(key, item) for key, item in (("a", 1), ("b", 2), ("a", 3), ("a", 4))]
    assert await asyncio.gather(*asked) == [2, 4, 6, 8]
    assert doubling.done == [("a", [1, 3, 4]), ("b", [2])]


async def test_what_is_asked_for_meanwhile_is_the_next_batch() -> None:
    """Batches of a key follow each other; other keys wait for none."""
    doubling = Doubling(is_open=False)
    first = asyncio.create_task(doubling.batches.ask("a", 1))
    await settled()
    later = [asyncio.create_task(doubling.batches.ask("a", item)) for item in (2, 3)]
    await settled()
    later.append(asyncio.create_task(doubling.batches.ask("a", 4)))
    other = asyncio.create_task(doubling.batches.ask("b", 5))
    await settled()
    assert doubling.done == [("a", [1]), ("b", [5])]
    doubling.gate.set()
    assert await asyncio.gather(first, *later, other) == [2, 4, 6, 8, 10]
    assert doubling.done[2:] == [("a", [2, 3, 4])]


async def test_an_error_is_everybodys_of_its_batch_and_of_no_other() -> None:
    """The next batch goes on."""
    doubling = Doubling()
    first = await asyncio.gather(
        *[doubling.batches.ask("a", item) for item in (1, -1)], return_exceptions=True
    )
    assert [str(error) for error in first] == ["negative", "negative"]
    with pytest.raises(ValueError, match="negative"):
        await doubling.batches.ask("a", -2)
    assert await doubling.batches.ask("a", 3) == 6


async def test_who_goes_away_stops_nobody_elses() -> None:
    """Nor its own: it was asked for."""
    doubling = Doubling(is_open=False)
    asked = [asyncio.create_task(doubling.batches.ask("a", item)) for item in (1, 2)]
    await settled()
    asked[0].cancel()
    doubling.gate.set()
    assert await asked[1] == 4
    assert asked[0].cancelled()
    assert doubling.done == [("a", [1, 2])]


async def test_closing_waits_for_what_was_asked_for() -> None:
    """For the batch that is under way, and for the one after it."""
    doubling = Doubling(is_open=False)
    asked = [asyncio.create_task(doubling.batches.ask("a", 1))]
    await settled()
    asked.append(asyncio.create_task(doubling.batches.ask("a", 2)))
    await settled()
    for each in asked:
        each.cancel()
    closing = asyncio.create_task(doubling.batches.close())
    await settled()
    assert not closing.done()
    doubling.gate.set()
    await closing
    assert doubling.done == [("a", [1]), ("a", [2])]

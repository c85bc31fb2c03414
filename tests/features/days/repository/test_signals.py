"""Signals of one person that come at the same time are read and kept together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import select

from orchestrator.agents.remote import CachedSignal
from orchestrator.features.days.repository.signals import KEPT_S, SignalTable
from orchestrator.features.days.tables import SignalRow

if TYPE_CHECKING:
    from support.days_room import DaysRoom

LATER = 1_000.0 + KEPT_S + 1


def said(word: str, at: float) -> CachedSignal:
    """What an agent said then."""
    return CachedSignal({"said": word}, None, at, at)


async def kept(room: DaysRoom) -> dict[str, float]:
    """When each of the learner's questions was answered last, by its key."""
    async with room.database.session("ada") as session:
        return {row.key: row.confirmed_at for row in await session.all(select(SignalRow))}


async def test_those_that_have_grown_too_old_go_with_a_new_one(any_room: DaysRoom) -> None:
    """What was confirmed at that moment stays, however old it was before."""
    await any_room.sync()
    table = SignalTable(any_room.database)
    await asyncio.gather(*[table.put("ada", "ta", key, said("old", 1_000.0)) for key in ("k1", "k2")])
    await asyncio.gather(
        table.put("ada", "ta", "k1", said("old", LATER)), table.put("ada", "clo", "k3", said("new", LATER))
    )
    assert await kept(any_room) == {"k1": LATER, "k3": LATER}


async def test_of_two_answers_to_one_question_the_later_stays(any_room: DaysRoom) -> None:
    """Though both came at once."""
    await any_room.sync()
    table = SignalTable(any_room.database)
    first, second = said("first", 1.0), said("second", 2.0)
    await asyncio.gather(table.put("ada", "clo", "k", first), table.put("ada", "clo", "k", second))
    assert await table.get("ada", "clo", "k") == second


async def test_questions_asked_at_once_get_their_own_answers(any_room: DaysRoom) -> None:
    """Those of others, and those that nothing is kept for, too."""
    await any_room.sync()
    table = SignalTable(any_room.database)
    answers = {key: said(key, 5.0) for key in ("a", "b", "c")}
    await asyncio.gather(*[table.put("ada", "clo", key, answer) for key, answer in answers.items()])
    found = await asyncio.gather(
        *[table.get("ada", "clo", key) for key in ("c", "nothing", "a")], table.get("bob", "clo", "a")
    )
    assert found == [answers["c"], None, answers["a"], None]

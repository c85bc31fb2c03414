"""What happens side by side: the schedule, the learner, and an erasure never undo one another."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, update

from orchestrator.agents.remote import CachedSignal
from orchestrator.app.persons.rows import Rows
from orchestrator.core.errors import ConflictError
from orchestrator.durable.runs import Status as RunStatus
from orchestrator.features.days.asking import unseen, without_instructor
from orchestrator.features.days.day import Made, Seen
from orchestrator.features.days.repository import SignalTable
from orchestrator.features.days.tables import DaySessionRow, IntentRow
from orchestrator.features.days.workflow import prepare_days
from support.days_room import START

if TYPE_CHECKING:
    from orchestrator.features.days.day import DayRequest
    from support.days_room import DaysRoom

DAY_S = timedelta(days=1).total_seconds()


def made(request: DayRequest, run_id: str) -> Made:
    """What a run makes that heard nobody."""
    seen: list[Seen] = unseen("TIMEOUT")
    return Made(run_id=run_id, day=request, seen=seen, written=without_instructor(request, seen, "TIMEOUT"))


async def test_a_day_that_was_done_while_it_was_prepared_keeps_the_next_one(any_room: DaysRoom) -> None:
    """The learner is faster than the schedule's agents: what status promises after that is kept."""
    await any_room.sync()
    await any_room.day_done(1, 3)
    any_room.clock.jump(DAY_S)
    [due] = await any_room.intents.due(any_room.clock.datetime, 10)
    prepared = any_room.deadlines.scheduled(due, None, any_room.clock.time())
    await any_room.day_done(1, 4)
    promised = (await any_room.status()).next_scheduled_run
    assert promised is not None
    assert (promised.week, promised.day) == (1, 5)
    await any_room.sessions.store(made(prepared, "late"), any_room.clock.datetime)
    assert (await any_room.status()).next_scheduled_run == promised


async def test_putting_off_leaves_what_was_changed_meanwhile(any_room: DaysRoom) -> None:
    """A learner who moved since the sweep looked has another time, which stays."""
    await any_room.sync()
    any_room.clock.jump(DAY_S)
    [due] = await any_room.intents.due(any_room.clock.datetime, 10)
    await any_room.sync(user_tz="Asia/Tokyo")
    promised = (await any_room.status()).next_scheduled_run
    await any_room.intents.put_off(due, any_room.clock.datetime)
    assert (await any_room.status()).next_scheduled_run == promised


async def test_nothing_is_prepared_for_an_intent_that_was_replaced(any_room: DaysRoom) -> None:
    """Not even where a day of it was done in the very moment in which another one took its place."""
    old = await any_room.sync()
    new = await any_room.sync(topic="Pottery")
    async with any_room.database.session("ada") as session:  # as that completion leaves it behind
        late = update(IntentRow).where(IntentRow.id == old.intent_id)
        await session.change(late.values(next_run_at=START))
    any_room.clock.jump(DAY_S)
    assert [row.id for row in await any_room.intents.due(any_room.clock.datetime, 10)] == [new.intent_id]
    await (await any_room.engine.start(prepare_days)).result()
    seen = (await any_room.status()).latest_session
    assert (seen and seen.topic) == "Pottery"


async def test_what_was_under_way_leaves_nothing_of_an_erased_person(any_room: DaysRoom) -> None:
    """A day that was being planned is not stored, neither by its run nor by rules in its stead."""
    await any_room.sync()
    any_room.agents.hang.add("clo")
    planning = asyncio.create_task(any_room.run())
    await any_room.hangs("clo", others=3)
    [info] = await any_room.engine.list(status=[RunStatus.RUNNING], limit=1)
    await Rows(any_room.database).remove("ada")
    await (await any_room.engine.get(info.id)).cancel()
    with pytest.raises(ConflictError) as refused:
        await planning
    assert refused.value.code == "NO_ACTIVE_INTENT"
    async with any_room.database.session("ada") as session:
        assert await session.one(select(func.count()).select_from(DaySessionRow)) == 0


async def test_a_late_answer_is_not_kept_of_an_erased_person(any_room: DaysRoom) -> None:
    """What an agent says of a person's notes is theirs too."""
    await any_room.sync()
    table, said = SignalTable(any_room.database), CachedSignal({"of": "her notes"}, None, 1.0, 1.0)
    await table.put("ada", "socratic", "before", said)
    await Rows(any_room.database).remove("ada")
    await table.put("ada", "socratic", "after", said)
    assert await table.get("ada", "socratic", "after") is None

"""Preparing the next day: at 07:00 where the learner is, if the last day was done."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.features.days.day import AGENTS
from orchestrator.features.days.morning import PREPARED_AT_ONCE
from orchestrator.features.days.schedule import SCHEDULE, keep_schedule
from orchestrator.features.days.workflow import day, prepare_days
from support.days_room import START, DaysRoom

if TYPE_CHECKING:
    from orchestrator.features.days.schemas import LatestSession, NextRun


async def next_run(room: DaysRoom, owner: str = "ada") -> NextRun | None:
    """What status says of it."""
    return (await room.status(owner)).next_scheduled_run


async def latest(room: DaysRoom, owner: str = "ada") -> LatestSession | None:
    """The latest session."""
    return (await room.status(owner)).latest_session


async def prepared(room: DaysRoom) -> None:
    """Let the schedule come to its next time, and all that it starts end."""
    await (await room.engine.start(prepare_days)).result()


async def test_the_schedule_is_there_once(room: DaysRoom) -> None:
    """For all people together, every quarter of an hour; another start of the service changes nothing."""
    await keep_schedule(room.engine, SCHEDULE)
    await keep_schedule(room.engine, SCHEDULE)
    [schedule] = await room.engine.schedules()
    assert (schedule.id, schedule.cron, schedule.zone) == (SCHEDULE, "*/15 * * * *", "UTC")


async def test_the_promised_time_is_kept(room: DaysRoom) -> None:
    """The plan is there a moment after the time that status says, and not before; then it is to be done."""
    await keep_schedule(room.engine, SCHEDULE)
    await room.sync()
    await room.day_done(1, 3)
    promised = await next_run(room)
    assert promised is not None
    assert promised.estimated_time == datetime.fromisoformat("2025-01-20T12:00Z")
    before = promised.estimated_time - timedelta(seconds=1) - room.clock.datetime
    await room.clock.advance(before)
    seen = await latest(room)
    assert (seen and (seen.week, seen.day)) == (1, 3)
    await room.clock.advance(seconds=2)
    seen = await latest(room)
    assert (seen and (seen.week, seen.day, seen.completion)) == (1, 4, None)
    assert await next_run(room) is None
    runs = await room.engine.list(workflow=day.type_name, limit=10)
    assert [run.owner for run in runs] == ["ada", "ada"]
    asked = len(room.agents.asked)
    again = await room.run(1, 4)
    assert (again.cache_hits, len(room.agents.asked)) == (4, asked)


async def test_a_first_day_is_prepared_too(any_room: DaysRoom) -> None:
    """Who says in the evening what to learn finds a plan in the morning."""
    await any_room.sync()
    promised = await next_run(any_room)
    assert promised is not None
    assert (promised.week, promised.day) == (1, 1)
    any_room.clock.set(promised.estimated_time.timestamp())
    await prepared(any_room)
    seen = await latest(any_room)
    assert (seen and (seen.week, seen.day)) == (1, 1)


async def test_nothing_is_prepared_while_a_day_is_not_done(room: DaysRoom) -> None:
    """And status promises nothing."""
    await room.sync()
    await room.run(1, 1)
    assert await next_run(room) is None
    room.clock.jump(timedelta(days=2).total_seconds())
    await prepared(room)
    seen = await latest(room)
    assert (seen and seen.day) == 1


async def test_after_a_week_the_next_begins(room: DaysRoom) -> None:
    """Week 1 day 5 is followed by week 2 day 1."""
    await room.sync()
    await room.day_done(1, 5)
    promised = await next_run(room)
    assert promised is not None
    assert (promised.week, promised.day) == (2, 1)


async def test_another_time_zone_moves_it(room: DaysRoom) -> None:
    """The morning after the day was done, wherever the learner is by then."""
    await room.sync()
    await room.day_done()
    await room.sync(user_tz="Asia/Tokyo")
    promised = await next_run(room)
    assert promised is not None
    # Done on the 20th there, just after midnight.
    assert promised.estimated_time == datetime.fromisoformat("2025-01-20T22:00Z")
    assert promised.timezone == "Asia/Tokyo"
    await room.sync(depth="expert", user_tz=None)
    assert await next_run(room) == promised


async def test_after_seven_idle_days_it_stops(any_room: DaysRoom) -> None:
    """A service that was away for so long prepares nothing for who was, too; coming back begins it again."""
    await any_room.sync()
    await any_room.day_done()
    any_room.clock.jump(timedelta(days=7, minutes=1).total_seconds())
    assert await next_run(any_room) is None
    await prepared(any_room)
    seen = await latest(any_room)
    assert (seen and seen.day) == 1
    await any_room.sync()
    promised = await next_run(any_room)
    assert promised is not None
    assert (promised.day, promised.estimated_time > any_room.clock.datetime) == (2, True)


async def test_a_late_service_still_prepares(room: DaysRoom) -> None:
    """Three days late, once."""
    await room.sync()
    await room.day_done()
    room.clock.jump(timedelta(days=3).total_seconds())
    await prepared(room)
    seen = await latest(room)
    assert (seen and seen.day) == 2
    asked = len(room.agents.asked)
    await prepared(room)
    assert len(room.agents.asked) == asked


async def test_everybody_who_is_due_is_prepared_for(any_room: DaysRoom) -> None:
    """More people than at once; whose agents fail gets the plan by rules like anybody else."""
    people = [f"user-{number}" for number in range(PREPARED_AT_ONCE + 3)]
    for person in people:
        await any_room.sync(person)
    any_room.agents.refuses = dict.fromkeys(AGENTS, 404)
    any_room.clock.jump(timedelta(days=1).total_seconds())
    await prepared(any_room)
    for person in people:
        seen = await latest(any_room, person)
        assert (seen and (seen.day, seen.degraded_mode)) == (1, True)


async def test_a_run_that_fails_is_tried_the_next_morning(room: DaysRoom) -> None:
    """It holds nobody else up, and status says so."""
    await room.sync()
    await room.sync("bob")
    room.agents.hang.add("clo")
    room.clock.set((START + timedelta(days=1)).timestamp())
    preparing = await room.engine.start(prepare_days)
    await room.until(lambda: _are_asked(room, 2))
    for run in await room.engine.list(workflow=day.type_name, owner="ada", limit=1):
        await (await room.engine.get(run.id)).cancel()
    room.clock.jump(60)
    await preparing.result()
    promised = await next_run(room)
    assert promised is not None
    assert promised.estimated_time == datetime.fromisoformat("2025-01-21T12:00Z")
    assert await latest(room) is None
    assert await latest(room, "bob") is not None


async def _are_asked(room: DaysRoom, times: int) -> bool:
    return room.agents.times_asked("clo") == times


async def test_a_sweep_that_was_interrupted_starts_nobody_twice(room: DaysRoom) -> None:
    """The run is there, the mark that it was started is not: the next sweep finds it."""
    await room.sync()
    room.clock.set((START + timedelta(days=1)).timestamp())
    [row] = await room.intents.due(room.clock.datetime, 10)
    assert row.next_run_at is not None
    run_id = f"day-{row.id}-1-1-{int(row.next_run_at.timestamp())}"
    earlier = room.deadlines.scheduled(row, None, room.clock.time() - 60)
    await (await room.engine.start(day, earlier, id=run_id, owner="ada")).result()
    await room.intents.put_off(row, room.clock.datetime)
    await prepared(room)
    assert len(await room.engine.list(workflow=day.type_name, limit=10)) == 1
    assert await room.intents.due(room.clock.datetime, 10) == []

"""Schedules as every engine keeps them: made, described, paused, changed, run at once, deleted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from orchestrator import Context, workflow
from orchestrator.core.errors import ConflictError, InvalidInputError, NotFoundError
from orchestrator.durable.errors import RunCancelledError
from orchestrator.durable.payloads import PayloadError
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.schedules import CATCH_UP_S, ScheduleStatus

if TYPE_CHECKING:
    from support.contract_lab import Lab

# The tests do not wait for it.
LEAP_DAY = "0 9 29 2 *"


class Report(BaseModel):
    """What a report is about."""

    topics: list[str]


@workflow
async def report(ctx: Context, about: Report) -> str:
    """A run that ends at once."""
    return ", ".join(about.topics)


@workflow
async def approved(ctx: Context) -> str:
    """A run that stays open until it is told."""
    return await ctx.receive("approve", str)


async def test_a_schedule_says_what_it_starts_and_when(lab: Lab) -> None:
    """All that was asked for, and the next time as the clocks of its zone show it."""
    async with lab.open([report]) as engine:
        before = datetime.now(UTC)
        schedule = await engine.schedule(
            report,
            Report(topics=["sales"]),
            id=lab.id("morning"),
            cron="30 9  * * *",
            zone="America/New_York",
            owner="ada",
            tags={"team": "north"},
            priority=1,
        )
        info = await schedule.describe()
        assert info.id == schedule.id == lab.id("morning")
        assert (info.workflow, info.cron, info.zone) == ("report", "30 9 * * *", "America/New_York")
        assert (info.owner, info.tags, info.priority) == ("ada", {"team": "north"}, 1)
        assert (info.status, info.catch_up) == (ScheduleStatus.ACTIVE, CATCH_UP_S)
        assert (info.last_run, info.last_at, info.skipped, info.missed_at) == ("", None, 0, None)
        assert before <= info.created_at <= datetime.now(UTC)
        assert info.next_at is not None
        local = info.next_at.astimezone(ZoneInfo("America/New_York"))
        assert (local.hour, local.minute, local.second) == (9, 30, 0)
        assert before < info.next_at
        assert await lab.scheduled(engine, [schedule.id]) == [schedule.id]
        assert await engine.schedules() == [info]
        assert await (await engine.get_schedule(schedule.id)).describe() == info


async def test_a_run_can_be_started_beside_the_timetable(lab: Lab) -> None:
    """On the input as it was when it was scheduled, with the schedule's owner, and found by its tag."""
    about = Report(topics=["sales"])
    async with lab.open([report]) as engine:
        schedule = await engine.schedule(
            report, about, id=lab.id("leap"), cron=LEAP_DAY, owner="ada", tags={"team": "north"}
        )
        about.topics.append("changed later")
        run = await schedule.run_now()
        assert await run.result() == "sales"
        described = await run.describe()
        assert described.owner == "ada"
        assert described.tags == {"team": "north", "schedule": schedule.id}
        assert run.id.startswith(f"{schedule.id}@")
        info = await schedule.describe()
        assert info.last_run == run.id
        again = await schedule.run_now()
        assert again.id != run.id
        assert await again.result() == "sales"


async def test_no_run_is_started_beside_an_open_one(lab: Lab) -> None:
    """Running at once is refused while the last run is open, and possible again when it has ended."""
    async with lab.open([approved]) as engine:
        schedule = await engine.schedule(approved, id=lab.id("one"), cron=LEAP_DAY)
        run = await schedule.run_now()
        with pytest.raises(ConflictError, match="is open"):
            await schedule.run_now()
        await run.signal("approve", "yes")
        assert await run.result() == "yes"
        assert (await schedule.run_now()).id != run.id


async def test_of_several_who_run_it_now_one_does(lab: Lab) -> None:
    """The others are told that the last run is open, which is the one that was just started."""
    async with lab.open([approved]) as engine:
        schedule = await engine.schedule(approved, id=lab.id("one"), cron=LEAP_DAY)
        tries = await asyncio.gather(*(schedule.run_now() for _ in range(3)), return_exceptions=True)
        assert [type(tried) for tried in tries].count(ConflictError) == 2
        last = await engine.get((await schedule.describe()).last_run)
        assert [tried.id for tried in tries if not isinstance(tried, BaseException)] == [last.id]
        await last.cancel()


async def test_the_same_schedule_again_changes_nothing(lab: Lab) -> None:
    """A service says at every start what it wants; that is one schedule, as it was."""
    async with lab.open([report]) as engine:
        settings: dict[str, Any] = {"id": lab.id("same"), "cron": LEAP_DAY, "zone": "Europe/Berlin"}
        schedule = await engine.schedule(report, Report(topics=["a"]), **settings)
        before = await schedule.describe()
        await engine.schedule(report, Report(topics=["a"]), **settings)
        assert await schedule.describe() == before


async def test_other_settings_replace_those_of_a_schedule(lab: Lab) -> None:
    """Its past stays: when it was made, what it ran last, and that it was paused."""
    async with lab.open([report, approved]) as engine:
        schedule = await engine.schedule(report, Report(topics=["a"]), id=lab.id("new"), cron=LEAP_DAY)
        await (await schedule.run_now()).result()
        before = await schedule.describe()

        await engine.schedule(report, Report(topics=["b"]), id=schedule.id, cron=LEAP_DAY, catch_up=3_600)
        changed = await schedule.describe()
        assert (changed.catch_up, changed.next_at) == (3_600, before.next_at)
        assert (changed.created_at, changed.last_run) == (before.created_at, before.last_run)
        assert await (await schedule.run_now()).result() == "b"

        await schedule.pause()
        await engine.schedule(approved, id=schedule.id, cron="@hourly", owner="ada")
        changed = await schedule.describe()
        assert (changed.workflow, changed.cron, changed.owner) == ("approved", "@hourly", "ada")
        assert (changed.status, changed.next_at) == (ScheduleStatus.PAUSED, None)
        assert await lab.scheduled(engine, [schedule.id]) == [schedule.id]


async def test_a_paused_schedule_has_no_next_time(lab: Lab) -> None:
    """Until it is resumed; both may be said twice, and a run can still be started by hand."""
    async with lab.open([report]) as engine:
        schedule = await engine.schedule(report, Report(topics=["a"]), id=lab.id("paused"), cron=LEAP_DAY)
        before = await schedule.describe()
        for _ in range(2):
            await schedule.pause()
            info = await schedule.describe()
            assert (info.status, info.next_at) == (ScheduleStatus.PAUSED, None)
        assert await (await schedule.run_now()).result() == "a"
        for _ in range(2):
            await schedule.resume()
            info = await schedule.describe()
            assert (info.status, info.next_at) == (ScheduleStatus.ACTIVE, before.next_at)


async def test_a_deleted_schedule_is_gone_and_its_runs_are_not(lab: Lab) -> None:
    """Its handle says so; its name is free for another one, which knows nothing of it."""
    async with lab.open([report]) as engine:
        schedule = await engine.schedule(report, Report(topics=["a"]), id=lab.id("gone"), cron=LEAP_DAY)
        run = await schedule.run_now()
        await schedule.delete()
        for use in (schedule.describe, schedule.pause, schedule.resume, schedule.run_now, schedule.delete):
            with pytest.raises(NotFoundError, match=f"there is no schedule '{schedule.id}'"):
                await use()
        with pytest.raises(NotFoundError):
            await engine.get_schedule(schedule.id)
        assert schedule.id not in {info.id for info in await engine.schedules()}
        assert await run.result() == "a"
        await engine.schedule(report, Report(topics=["b"]), id=schedule.id, cron=LEAP_DAY)
        assert (await schedule.describe()).last_run == ""


async def test_schedules_are_there_when_the_engine_comes_back(lab: Lab) -> None:
    """As they were left: their settings, their next time, paused ones paused, deleted ones gone."""
    async with lab.open([report, approved]) as engine:
        for name in ("a", "b", "c"):
            schedule = await engine.schedule(report, Report(topics=[name]), id=lab.id(name), cron=LEAP_DAY)
            await (await schedule.run_now()).result()
        await (await engine.get_schedule(lab.id("b"))).pause()
        await (await engine.get_schedule(lab.id("c"))).delete()
        assert await lab.scheduled(engine, [lab.id("a"), lab.id("b")]) == [lab.id("a"), lab.id("b")]
        before = await engine.schedules()
    async with lab.open([report, approved]) as engine:
        assert await engine.schedules() == before
        assert await (await (await engine.get_schedule(lab.id("b"))).run_now()).result() == "b"


async def test_a_schedule_of_a_workflow_that_is_not_there_is_stuck(lab: Lab) -> None:
    """It says so and starts nothing, the engine opens all the same, and it goes on when the code is back."""
    async with lab.open([report, approved]) as engine:
        stranded = await engine.schedule(report, Report(topics=["a"]), id=lab.id("a"), cron=LEAP_DAY)
        paused = await engine.schedule(report, Report(topics=["b"]), id=lab.id("b"), cron=LEAP_DAY)
        await paused.pause()
        before = await stranded.describe()
    async with lab.open([approved]) as engine:
        stranded = await engine.get_schedule(lab.id("a"))
        info = await stranded.describe()
        assert (info.status, info.next_at) == (ScheduleStatus.STUCK, None)
        assert "no workflow 'report' was given to this engine" in info.reason
        for use in (stranded.run_now, stranded.resume, (await engine.get_schedule(lab.id("b"))).resume):
            with pytest.raises(NotRegisteredError):
                await use()
    async with lab.open([report]) as engine:
        stranded = await engine.get_schedule(lab.id("a"))
        assert await stranded.describe() == before
        assert await (await stranded.run_now()).result() == "a"
        assert (await (await engine.get_schedule(lab.id("b"))).describe()).status is ScheduleStatus.PAUSED


async def test_a_schedule_that_says_nothing_clear_is_refused(lab: Lab) -> None:
    """Its times, zone, id, patience, input or workflow: refused in words, and none is made."""
    async with lab.open([report]) as engine:
        fine: dict[str, Any] = {"id": lab.id("wrong"), "cron": LEAP_DAY}
        for wrong, said in (
            ({"cron": "0 0 30 2 *"}, "never happens"),
            ({"cron": "0 0 13 * FRI"}, "days of the month and days of the week"),
            ({"cron": "30 2 * 3 0L", "zone": "Europe/Berlin"}, "its clock shows no such time"),
            ({"zone": "Europe/Berln"}, "is Europe/Berlin meant?"),
            ({"id": ""}, "id of the schedule is empty"),
            ({"catch_up": 9}, "at least 10 seconds"),
            ({"catch_up": float("nan")}, "at least 10 seconds"),
            ({"priority": 0}, "priority 0"),
        ):
            with pytest.raises(InvalidInputError) as refused:
                await engine.schedule(report, Report(topics=[]), **fine | wrong)
            assert said in refused.value.message
        with pytest.raises(PayloadError):
            await engine.schedule(report, object(), **fine)  # type: ignore[misc]  # what is refused
        with pytest.raises(NotRegisteredError):
            await engine.schedule(approved, **fine)
        assert lab.id("wrong") not in {info.id for info in await engine.schedules()}


async def test_a_schedule_that_nobody_made_is_not_found(lab: Lab) -> None:
    """The message names it."""
    async with lab.open([report]) as engine:
        with pytest.raises(NotFoundError, match="there is no schedule 'none'"):
            await engine.get_schedule("none")


async def test_a_replaced_schedule_starts_the_new_workflow(lab: Lab) -> None:
    """While a run of the old one is still open: it goes on, and is the one that must end first."""
    async with lab.open([report, approved]) as engine:
        schedule = await engine.schedule(approved, id=lab.id("next"), cron=LEAP_DAY)
        run = await schedule.run_now()
        await engine.schedule(report, Report(topics=["a"]), id=schedule.id, cron=LEAP_DAY)
        with pytest.raises(ConflictError):
            await schedule.run_now()
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        assert await (await schedule.run_now()).result() == "a"

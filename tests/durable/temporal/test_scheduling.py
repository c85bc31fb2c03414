"""Schedules on Temporal as time passes: the server's calendar against ours, and what its times lead to."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import ScheduleBackfill

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.core.clock import rfc3339, utc
from orchestrator.core.errors import ConflictError, NotFoundError
from orchestrator.durable.temporal.keeping import IS_DUE, NO_PROGRESS, Progress, keeper_id
from orchestrator.durable.temporal.schedule_settings import Settings
from support.contract_lab import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.schedules import ScheduleInfo
    from orchestrator.durable.temporal.scheduling import TemporalSchedule
    from orchestrator.durable.workflows import Workflow
    from support.services import TemporalServer

HOUR_S = 3_600.0
DAY_S = 86_400.0
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
# So many times a server tells at once.
PAGE = 1_000


@workflow
async def report(ctx: Context, topic: str) -> str:
    """A run that ends at once."""
    return topic


@workflow
async def approved(ctx: Context) -> str:
    """A run that stays open until it is told."""
    return await ctx.receive("approve", str)


def engine_on(server: TemporalServer, queue: str = "") -> TemporalEngine:
    """An engine of this file's workflows, on a task queue of its own or that one."""
    return TemporalEngine(
        server.address, workflows=[report, approved], task_queue=queue or f"own-{uuid.uuid4()}"
    )


def own_id() -> str:
    """The id of a schedule that no other test has."""
    return f"s-{uuid.uuid4()}"


async def matching_times(engine: TemporalEngine, schedule_id: str, first: float, last: float) -> list[float]:
    """The times from ``first`` to ``last`` at which the server starts something, in its order."""
    found: list[float] = []
    after = first - 1
    while True:
        request = ListScheduleMatchingTimesRequest(
            namespace="default",
            schedule_id=schedule_id,
            start_time=Timestamp(seconds=int(after)),
            end_time=Timestamp(seconds=int(last)),
        )
        page = (await engine._connected().workflow_service.list_schedule_matching_times(request)).start_time
        found += [float(one.seconds) for one in page]
        if len(page) < PAGE:
            return found
        after = found[-1]


@pytest.mark.temporal
@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("0 9 * * 1-5", "Europe/Berlin"),
        ("30 2 * * *", "Europe/Berlin"),
        ("30 2 * * *", "America/New_York"),
        ("*/30 0-3 * 3,4,9,10,11 *", "Europe/Berlin"),
        ("*/20 0-3 * 3,4,10,11 *", "Australia/Lord_Howe"),
        ("0 0 * 4,9 *", "America/Santiago"),
        ("15 */2 * 2-4 *", "Africa/Casablanca"),
        ("0 * * 3,10 *", "Antarctica/Troll"),
        ("0 0 L * *", "Asia/Kathmandu"),
        ("0 0 LW * *", "America/Havana"),
        ("30 1 * * 1#2", "Europe/London"),
        ("15 3 * * 5L,MON", "Pacific/Apia"),
        ("0 0 29 2 *", "UTC"),
        ("59 23 31 */2 *", "Pacific/Chatham"),
    ],
)
async def test_each_of_our_times_is_one_of_the_servers(
    temporal_server: TemporalServer, cron: str, zone: str
) -> None:
    """Over four years, through all changes of clocks: once each, by the name that it has in our timetable."""
    async with engine_on(temporal_server) as engine:
        schedule = await engine.schedule(report, "sales", id=own_id(), cron=cron, zone=zone)
        last = BEGINNING + 4 * 365 * DAY_S
        settings = settings_of(cron, zone)
        theirs = await matching_times(engine, schedule.id, BEGINNING, last)
        named = [settings.timetable.named(at) for at in theirs]
        ours = takewhile(lambda at: at <= last, settings.timetable.times_after(BEGINNING - 1))
        assert [at for at in named if at is not None] == list(ours)
        await schedule.delete()


@pytest.mark.temporal
async def test_a_time_that_comes_twice_may_happen_the_second_time(temporal_server: TemporalServer) -> None:
    """The server takes one of the two by rules of its own; the run's id names the first one all the same."""
    async with engine_on(temporal_server) as engine:
        schedule = await engine.schedule(
            report,
            "sales",
            id=own_id(),
            cron="30 2 25 10 *",
            zone="Europe/Berlin",
            catch_up=100 * 365 * DAY_S,
        )
        first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC).timestamp() for hour in (0, 1))
        assert await matching_times(engine, schedule.id, first, second) == [second]
        await pass_by(engine, schedule, first, second)
        info = await until(schedule, lambda info: bool(info.last_run))
        assert info.last_run == f"{schedule.id}@{rfc3339(utc(first))}"
        await schedule.delete()


@pytest.mark.temporal
async def test_a_time_is_skipped_while_the_run_before_is_open(temporal_server: TemporalServer) -> None:
    """The first of several times has its run, under its stated id; the others are counted."""
    async with engine_on(temporal_server) as engine:
        schedule = await hourly(engine)
        await pass_by(engine, schedule, BEGINNING + HOUR_S, BEGINNING + 3 * HOUR_S)
        info = await until(schedule, lambda info: info.skipped == 2)
        assert info.last_run == f"{schedule.id}@2026-01-01T01:00:00Z"
        assert (info.last_at, info.missed_at) == (utc(BEGINNING + HOUR_S), None)
        run = await engine.get(info.last_run)
        described = await run.describe()
        assert (described.owner, described.parent) == ("ada", "")
        assert described.tags == {"team": "north", "schedule": schedule.id}
        with pytest.raises(ConflictError, match=info.last_run):
            await schedule.run_now()
        await run.signal("approve", "yes")
        assert await run.result() == "yes"
        await pass_by(engine, schedule, BEGINNING + 4 * HOUR_S, BEGINNING + 4 * HOUR_S)
        info = await until(schedule, lambda info: info.last_at == utc(BEGINNING + 4 * HOUR_S))
        assert (info.last_run, info.skipped) == (f"{schedule.id}@2026-01-01T04:00:00Z", 2)
        await schedule.delete()


@pytest.mark.temporal
async def test_a_time_that_came_before_is_not_served_again(temporal_server: TemporalServer) -> None:
    """However often its keeper is told of it: neither a run nor a skipped time comes of that."""
    async with engine_on(temporal_server) as engine:
        schedule = await hourly(engine)
        await pass_by(engine, schedule, BEGINNING + HOUR_S, BEGINNING + 2 * HOUR_S)
        await until(schedule, lambda info: info.skipped == 1)
        keeper = engine._connected().get_workflow_handle(keeper_id(schedule.id))
        for hours in (1, 2, 3):
            await keeper.signal(IS_DUE, BEGINNING + hours * HOUR_S)
        info = await until(schedule, lambda info: info.skipped > 1)
        assert (info.skipped, info.last_at) == (2, utc(BEGINNING + HOUR_S))
        await schedule.delete()


@pytest.mark.temporal
async def test_a_time_that_comes_too_late_is_missed(temporal_server: TemporalServer) -> None:
    """As where no worker was there in time: nothing starts, and it is seen which was the first."""
    async with engine_on(temporal_server) as engine:
        schedule = await engine.schedule(report, "sales", id=own_id(), cron="@hourly")
        await pass_by(engine, schedule, BEGINNING + HOUR_S, BEGINNING + 2 * HOUR_S)
        info = await until(schedule, lambda info: info.missed_at is not None)
        assert info.missed_at is not None
        assert info.missed_at <= utc(BEGINNING + 2 * HOUR_S)
        assert (info.last_run, info.skipped) == ("", 0)
        await schedule.delete()


@pytest.mark.temporal
async def test_a_trigger_by_the_servers_own_tools_is_a_run_by_hand(temporal_server: TemporalServer) -> None:
    """What the keeper is told at another time than a full minute is no time of the schedule."""
    async with engine_on(temporal_server) as engine:
        schedule = await hourly(engine, report, "sales")
        await pass_by(engine, schedule, BEGINNING + HOUR_S, BEGINNING + HOUR_S)
        await until(schedule, lambda info: bool(info.last_run))
        await (await engine.get(f"{schedule.id}@2026-01-01T01:00:00Z")).result()
        keeper = engine._connected().get_workflow_handle(keeper_id(schedule.id))
        await keeper.signal(IS_DUE, BEGINNING + HOUR_S + 7)
        info = await until(schedule, lambda info: info.last_run.endswith("-now"))
        assert info.last_run == f"{schedule.id}@2026-01-01T01:00:07Z-now"
        assert await (await engine.get(info.last_run)).result() == "sales"
        await schedule.delete()


@pytest.mark.temporal
async def test_a_schedule_belongs_to_one_task_queue(temporal_server: TemporalServer) -> None:
    """Others do not list it, and cannot take its id."""
    async with engine_on(temporal_server) as engine, engine_on(temporal_server) as other:
        schedule = await engine.schedule(report, "sales", id=own_id(), cron="@daily")
        with pytest.raises(ConflictError, match="is of another task queue"):
            await other.schedule(report, "sales", id=schedule.id, cron="@daily")
        assert await other.schedules() == []
        await schedule.delete()
        with pytest.raises(NotFoundError):
            await other.get_schedule(schedule.id)


def settings_of(cron: str, zone: str = "UTC", since: float = BEGINNING) -> Settings:
    """The settings of a schedule of these times."""
    return Settings(
        schedule="s",
        workflow="report",
        cron=cron,
        zone=zone,
        catch_up_s=60.0,
        owner="",
        tags={},
        priority=3,
        since=since,
    )


def seen(*times: tuple[float, float], since: float = BEGINNING) -> Progress:
    """The progress of an hourly schedule after times, in hours, each with the seconds that it came late."""
    progress = NO_PROGRESS
    for hours, late_s in times:
        at = BEGINNING + hours * HOUR_S
        progress = progress.seen(settings_of("@hourly", since=since), at, at + late_s)
    return progress


def test_times_that_come_in_time_are_not_missed() -> None:
    """Nor those before the schedule was made, changed or resumed."""
    assert seen((1, 0), (2, 60), (3, 59)).missed_at is None
    assert seen((5, 0), since=BEGINNING + 4.5 * HOUR_S).missed_at is None


def test_the_first_of_those_that_were_missed_last_is_told() -> None:
    """Those that came too late and those that never came are missed alike, and are one time of absence."""
    assert seen((1, 0), (2, 61)).missed_at == BEGINNING + 2 * HOUR_S
    assert seen((1, 0), (2, 61), (3, 100), (4, 0)).missed_at == BEGINNING + 2 * HOUR_S
    assert seen((1, 0), (4, 0)).missed_at == BEGINNING + 2 * HOUR_S
    assert seen((1, 0), (4, 61), (5, 0)).missed_at == BEGINNING + 2 * HOUR_S
    assert seen((1, 61), (2, 0), (3, 61)).missed_at == BEGINNING + 3 * HOUR_S


async def hourly(
    engine: TemporalEngine, what: Workflow[Any, Any] = approved, about: object = None
) -> TemporalSchedule:
    """An hourly schedule that is patient enough to take times of the past."""
    return await engine.schedule(
        what,
        about,
        id=own_id(),
        cron="@hourly",
        catch_up=100 * 365 * DAY_S,
        owner="ada",
        tags={"team": "north"},
    )


async def pass_by(engine: TemporalEngine, schedule: TemporalSchedule, first: float, last: float) -> None:
    """Have the server start what is due from ``first`` to ``last``, as if these times were now."""
    await (
        engine._connected()
        .get_schedule_handle(schedule.id)
        .backfill(ScheduleBackfill(utc(first) - timedelta(seconds=1), utc(last)))
    )


async def until(schedule: TemporalSchedule, holds: Callable[[ScheduleInfo], bool]) -> ScheduleInfo:
    """The schedule, once this holds for it."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds(info := await schedule.describe()):  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.02)
    return info

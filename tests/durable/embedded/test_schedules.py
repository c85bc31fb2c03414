"""Schedules as time passes: what starts when, after downtimes, as clocks jump, as the power is cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestrator import Context, EmbeddedEngine, workflow
from orchestrator.core.clock import rfc3339, utc
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.durable.payloads import PayloadError
from orchestrator.durable.schedules import CATCH_UP_S, ScheduleStatus
from orchestrator.durable.timetable import Timetable
from orchestrator.journal import JournalError
from orchestrator.journal.errors import JournalFullError
from orchestrator.testing import BEGINNING, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.durable.workflows import Workflow

MINUTE_S = 60.0
HOUR_S = 3_600.0
DAY_S = 86_400.0


@workflow
async def report(ctx: Context, topic: str) -> str:
    """A run that ends at once."""
    return f"{topic} at {ctx.now():%H:%M}"


@workflow
async def long_report(ctx: Context, seconds: float) -> None:
    """A run that takes its time."""
    await ctx.sleep(seconds)


def engine_on(
    path: Path, clock: ManualClock, *workflows: Workflow[Any, Any], fault: Callable[[str], None] | None = None
) -> EmbeddedEngine:
    """An engine with the workflows of this file, or these."""
    chosen = workflows or (report, long_report)
    return EmbeddedEngine(path, workflows=chosen, clock=clock, retention=None, fault=fault)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


@pytest.fixture
def clock() -> ManualClock:
    """It shows 2026-01-01 00:00 UTC."""
    return ManualClock()


async def pass_time(clock: ManualClock, until: float) -> None:
    """Let time pass from one deadline to the next, as it does where nothing is late."""
    await clock.advance(seconds=until - clock.now)


async def started(engine: EmbeddedEngine, schedule_id: str) -> list[str]:
    """For which times runs were started, the first one first."""
    runs = await engine.list(tags={"schedule": schedule_id}, limit=100_000)
    return [info.id.removeprefix(f"{schedule_id}@") for info in reversed(runs)]


def at(text: str) -> float:
    """Seconds since 1970 of a UTC time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("0 9 * * 1-5", "Europe/Berlin"),
        ("30 2 * * *", "America/New_York"),
        ("*/20 0-2 * 4,10 *", "Australia/Lord_Howe"),
        ("0 0 L * *", "Asia/Kathmandu"),
    ],
)
async def test_a_year_of_runs_is_one_run_for_each_time(
    path: Path, clock: ManualClock, cron: str, zone: str
) -> None:
    """Through both changes of the clocks, each under the id that states its time in UTC."""
    end = clock.now + 365 * DAY_S
    async with engine_on(path, clock) as engine:
        schedule = await engine.schedule(report, "sales", id="s", cron=cron, zone=zone)
        await pass_time(clock, end)
        times = list(takewhile(lambda one: one <= end, Timetable(cron, zone).times_after(BEGINNING)))
        assert await started(engine, "s") == [rfc3339(utc(one)) for one in times]
        info = await schedule.describe()
        assert info.next_at == utc(Timetable(cron, zone).after(end) or 0)
        assert (info.last_at, info.skipped, info.missed_at) == (utc(times[-1]), 0, None)
        run = await engine.get(info.last_run)
        assert await run.result() == f"sales at {utc(times[-1]):%H:%M}"


async def test_a_time_is_skipped_while_the_run_before_is_open(path: Path, clock: ManualClock) -> None:
    """Also through a restart, and when the run was started by hand; skipped times are counted."""
    async with engine_on(path, clock) as engine:
        schedule = await engine.schedule(long_report, 2.5 * HOUR_S, id="s", cron="@hourly")
        await pass_time(clock, BEGINNING + 2 * HOUR_S)
        assert (await schedule.describe()).skipped == 1
    async with engine_on(path, clock) as engine:
        schedule = await engine.get_schedule("s")
        await pass_time(clock, BEGINNING + 4 * HOUR_S)
        assert await started(engine, "s") == ["2026-01-01T01:00:00Z", "2026-01-01T04:00:00Z"]
        assert (await schedule.describe()).skipped == 2
        await pass_time(clock, BEGINNING + 6.75 * HOUR_S)
        by_hand = await schedule.run_now()
        assert by_hand.id == "s@2026-01-01T06:45:00Z-now"
        await pass_time(clock, BEGINNING + 7 * HOUR_S)
        info = await schedule.describe()
        assert (info.last_run, info.skipped) == (by_hand.id, 2 + 2 + 1)


async def test_a_run_that_ends_as_the_next_is_due_is_not_in_its_way(path: Path, clock: ManualClock) -> None:
    """What was cancelled or failed has ended as well."""
    async with engine_on(path, clock) as engine:
        await engine.schedule(long_report, DAY_S, id="s", cron="@hourly")
        await pass_time(clock, BEGINNING + HOUR_S)
        await (await engine.get("s@2026-01-01T01:00:00Z")).cancel()
        await pass_time(clock, BEGINNING + 2 * HOUR_S)
        assert await started(engine, "s") == ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]


@pytest.mark.parametrize(
    ("catch_up", "late", "kept", "skipped", "missed"),
    [
        (CATCH_UP_S, 60.0, ["01:00"], 0, None),  # just in time
        (CATCH_UP_S, 60.1, [], 0, "01:00"),
        (CATCH_UP_S, 2 * HOUR_S + 30, ["03:00"], 0, "01:00"),
        (2 * HOUR_S, 2 * HOUR_S, ["01:00"], 2, None),  # the first of three; the others find it open
        (2 * HOUR_S, 2 * HOUR_S + 1, ["02:00"], 1, "01:00"),
        (30 * DAY_S, DAY_S, ["01:00"], 24, None),
    ],
)
async def test_what_passed_while_no_service_ran_is_started_if_it_is_not_too_old(
    path: Path,
    clock: ManualClock,
    catch_up: float,
    late: float,
    kept: list[str],
    skipped: int,
    missed: str | None,
) -> None:
    """Each schedule says what is too old; times beyond that do not happen, and are seen as missed."""
    async with engine_on(path, clock) as engine:
        await engine.schedule(report, "sales", id="s", cron="@hourly", catch_up=catch_up)
    clock.jump(HOUR_S + late)
    async with engine_on(path, clock) as engine:
        await clock.settle()
        info = await (await engine.get_schedule("s")).describe()
        assert await started(engine, "s") == [f"2026-01-01T{one}:00Z" for one in kept]
        assert info.skipped == skipped
        assert info.missed_at == (None if missed is None else utc(at(f"2026-01-01T{missed}")))
        assert info.next_at is not None
        assert clock.now < info.next_at.timestamp() <= clock.now + HOUR_S
        await pass_time(clock, info.next_at.timestamp())
        assert len(await started(engine, "s")) == len(kept) + 1


async def test_what_passed_while_a_schedule_was_paused_does_not_happen(
    path: Path, clock: ManualClock
) -> None:
    """However patient it is, and through a restart; a second resume leaves a time that is due alone."""
    async with engine_on(path, clock) as engine:
        schedule = await engine.schedule(report, "sales", id="s", cron="@hourly", catch_up=DAY_S)
        await schedule.pause()
        await pass_time(clock, BEGINNING + 3 * HOUR_S)
    async with engine_on(path, clock) as engine:
        schedule = await engine.get_schedule("s")
        await schedule.resume()
        await pass_time(clock, BEGINNING + 3.5 * HOUR_S)
        assert await started(engine, "s") == []
        clock.jump(HOUR_S)
        await schedule.resume()
        await clock.settle()
        info = await schedule.describe()
        assert await started(engine, "s") == ["2026-01-01T04:00:00Z"]
        assert (info.skipped, info.missed_at) == (0, None)


async def test_a_clock_set_back_starts_nothing_twice(path: Path, clock: ManualClock) -> None:
    """What has been is not once more, in the engine that saw it and in one that is opened later."""
    async with engine_on(path, clock) as engine:
        schedule = await engine.schedule(report, "sales", id="s", cron="@hourly")
        await pass_time(clock, BEGINNING + 3 * HOUR_S)
        clock.set(BEGINNING + HOUR_S)
        await pass_time(clock, BEGINNING + 2.5 * HOUR_S)
        assert len(await started(engine, "s")) == 3
        await schedule.pause()
        await schedule.resume()
        await pass_time(clock, BEGINNING + 3 * HOUR_S)
        assert len(await started(engine, "s")) == 3  # the id of 03:00 has its run
        clock.set(BEGINNING)
    async with engine_on(path, clock) as engine:
        await pass_time(clock, BEGINNING + 4 * HOUR_S)
        assert await started(engine, "s") == [f"2026-01-01T0{hour}:00:00Z" for hour in (1, 2, 3, 4)]


async def test_a_clock_set_forward_starts_what_is_not_too_old(path: Path, clock: ManualClock) -> None:
    """As if no service had run between; nor do times of many years hold it up."""
    async with engine_on(path, clock) as engine:
        schedule = await engine.schedule(report, "sales", id="s", cron="* * * * *")
        await clock.settle()
        clock.set(at("2046-05-05T12:00:30"))
        await clock.settle()
        info = await schedule.describe()
        assert await started(engine, "s") == ["2046-05-05T12:00:00Z"]
        assert info.missed_at == utc(BEGINNING + MINUTE_S)
        assert info.next_at == utc(at("2046-05-05T12:01"))


async def test_a_clock_set_back_just_as_a_time_is_due_does_not_silence_it(
    path: Path, clock: ManualClock
) -> None:
    """The alarm has rung, and is set anew."""
    async with engine_on(path, clock) as engine:
        await engine.schedule(report, "sales", id="s", cron="@hourly")
        kept = engine.kept_schedules
        clock.set(BEGINNING + HOUR_S)
        while not kept._due:
            await one_turn()
        clock.set(BEGINNING)
        await clock.settle()
        assert await started(engine, "s") == []
        await pass_time(clock, BEGINNING + HOUR_S)
        assert await started(engine, "s") == ["2026-01-01T01:00:00Z"]


async def one_turn() -> None:
    """Let the loop turn once."""
    await asyncio.sleep(0)


@given(
    st.lists(
        st.one_of(
            st.floats(-3 * HOUR_S, 3 * HOUR_S),
            st.sampled_from(["pause", "resume", "run_now", "reopen", "replace", MINUTE_S, HOUR_S]),
        ),
        max_size=25,
    ),
    st.sampled_from([10.0, CATCH_UP_S, HOUR_S, DAY_S]),
)
@settings(max_examples=60, deadline=None)
async def test_whatever_happens_no_time_has_two_runs_and_none_is_early(
    tmp_path_factory: pytest.TempPathFactory, moves: list[float | str], catch_up: float
) -> None:
    """Time goes forth and back, pauses, restarts: a time has one run at most, never early."""
    path, clock = tmp_path_factory.mktemp("schedule") / "runs.db", ManualClock()
    latest = clock.now
    settings_now: dict[str, Any] = {"id": "s", "cron": "*/10 * * * *", "catch_up": catch_up}
    engine = engine_on(path, clock)
    await engine.open()
    try:
        await engine.schedule(report, "sales", **settings_now)
        for move in moves:
            schedule = await engine.get_schedule("s")
            match move:
                case "reopen":
                    await engine.close()
                    await engine.open()
                case "replace":
                    settings_now["owner"] = settings_now.get("owner", "") + "x"
                    await engine.schedule(report, "sales", **settings_now)
                case str():
                    await getattr(schedule, move)()
                case _:
                    clock.jump(move)
                    latest = max(latest, clock.now)
            await clock.settle()
        times = [one for one in await started(engine, "s") if not one.endswith("-now")]
    finally:
        await engine.close()
    assert len(times) == len(set(times))
    for one in times:
        moment = at(one.removesuffix("Z"))
        assert moment % (10 * MINUTE_S) == 0
        assert BEGINNING - 75 * HOUR_S < moment <= latest


class PowerCutError(Exception):
    """The power was cut."""


class Power:
    """Fails at the ``cut_at``-th point of all writes, counted from 1."""

    def __init__(self, cut_at: int) -> None:
        self.passed = 0
        self.cut_at = cut_at

    def __call__(self, point: str) -> None:
        """Count a point that was passed."""
        self.passed += 1
        if self.passed == self.cut_at:
            raise PowerCutError(point)


async def test_a_power_cut_at_any_write_loses_no_time_and_doubles_none(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Cut at every point of every write of a day's work: afterwards there is one run for each time."""
    cut_at, cuts = 0, 0
    while True:
        cut_at += 1
        power, clock = Power(cut_at), ManualClock()
        path = tmp_path_factory.mktemp("cut") / "runs.db"
        while True:
            with suppress(JournalError):
                async with engine_on(path, clock, fault=power) as engine:
                    # What a service does at each of its starts.
                    await engine.schedule(report, "sales", id="s", cron="0 */6 * * *")
                    await engine.schedule(long_report, 7 * HOUR_S, id="t", cron="0 */6 * * *")
                    await pass_time(clock, BEGINNING + DAY_S)
                    times = await started(engine, "s"), await started(engine, "t")
                    last = [await (await engine.get_schedule(name)).describe() for name in ("s", "t")]
                    break
            cuts += 1
        day = [f"2026-01-01T{hour}:00:00Z" for hour in ("06", "12", "18")]
        assert times == ([*day, "2026-01-02T00:00:00Z"], ["2026-01-01T06:00:00Z", "2026-01-01T18:00:00Z"])
        assert [info.last_at for info in last] == [utc(BEGINNING + DAY_S), utc(BEGINNING + 18 * HOUR_S)]
        assert last[1].skipped == 2
        if power.passed < cut_at:
            break
    assert cuts == cut_at - 1 > 20


# What is known of a schedule after each of these changes: its status, its owner, whether it ran by hand.
State = tuple[ScheduleStatus, str, bool] | None
CHANGES: list[tuple[str, State]] = [
    ("make", (ScheduleStatus.ACTIVE, "", False)),
    ("pause", (ScheduleStatus.PAUSED, "", False)),
    ("give", (ScheduleStatus.PAUSED, "ada", False)),
    ("resume", (ScheduleStatus.ACTIVE, "ada", False)),
    ("run_now", (ScheduleStatus.ACTIVE, "ada", True)),
    ("delete", None),
]


async def test_a_power_cut_leaves_a_change_whole_or_undone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Cut at every point of every write: what was answered is kept, what was not is there or not, whole."""
    cut_at = 0
    while True:
        cut_at += 1
        power, clock = Power(cut_at), ManualClock()
        path = tmp_path_factory.mktemp("cut") / "runs.db"
        states: list[State] = [None]
        while len(states) <= len(CHANGES):
            with suppress(JournalError):
                async with engine_on(path, clock, fault=power) as engine:
                    verb, coming = CHANGES[len(states) - 1]
                    found = await state(engine)
                    assert found in (states[-1], coming)
                    if found != coming:
                        await change(engine, verb)
                    assert await state(engine) == coming
                    states.append(coming)
        if power.passed < cut_at:
            break
    assert cut_at > 20


async def state(engine: EmbeddedEngine) -> State:
    """What is known of the schedule now."""
    for info in await engine.schedules():
        return info.status, info.owner, info.last_run.endswith("-now")
    return None


async def change(engine: EmbeddedEngine, verb: str) -> None:
    """Do one thing to the schedule."""
    if verb in {"make", "give"}:
        owner = "ada" if verb == "give" else ""
        await engine.schedule(report, "sales", id="s", cron="@daily", owner=owner)
    else:
        await getattr(await engine.get_schedule("s"), verb)()


async def test_a_stuck_schedule_makes_up_for_what_is_not_too_old(path: Path, clock: ManualClock) -> None:
    """Where its workflow was not there for a while; no run is begun without code, and the engine opens."""
    async with engine_on(path, clock) as engine:
        await engine.schedule(report, "sales", id="s", cron="@hourly", catch_up=HOUR_S)
    async with engine_on(path, clock, long_report) as engine:
        await pass_time(clock, BEGINNING + 2.5 * HOUR_S)
        assert await started(engine, "s") == []
        assert (await (await engine.get_schedule("s")).describe()).status is ScheduleStatus.STUCK
    async with engine_on(path, clock) as engine:
        await clock.settle()
        assert await started(engine, "s") == ["2026-01-01T02:00:00Z"]
        info = await (await engine.get_schedule("s")).describe()
        assert (info.status, info.reason, info.missed_at) == (
            ScheduleStatus.ACTIVE,
            "",
            utc(BEGINNING + HOUR_S),
        )


class Once(BaseModel):
    """An input of today."""

    topic: str


class Later(BaseModel):
    """The same after a deploy that changed it."""

    topic: str
    words: int


@workflow(name="shaped")
async def shaped_once(ctx: Context, about: Once) -> str:
    """The workflow of today."""
    return about.topic


@workflow(name="shaped")
async def shaped_later(ctx: Context, about: Later) -> str:
    """The workflow after that deploy."""
    return f"{about.topic}: {about.words}"


async def test_an_input_that_the_code_no_longer_takes_makes_a_schedule_stuck(
    path: Path, clock: ManualClock
) -> None:
    """It says what is wrong with it, no broken run is begun, and giving a new input mends it."""
    async with engine_on(path, clock, shaped_once) as engine:
        await engine.schedule(shaped_once, Once(topic="sales"), id="s", cron="@hourly")
    async with engine_on(path, clock, shaped_later) as engine:
        await pass_time(clock, BEGINNING + HOUR_S)
        schedule = await engine.get_schedule("s")
        info = await schedule.describe()
        assert info.status is ScheduleStatus.STUCK
        assert "the input of shaped does not fit its type: words: Field required" in info.reason
        with pytest.raises(PayloadError):
            await schedule.run_now()
        assert await started(engine, "s") == []
        await engine.schedule(shaped_later, Later(topic="sales", words=3), id="s", cron="@hourly")
        await clock.settle()
        assert await started(engine, "s") == ["2026-01-01T01:00:00Z"]  # still within its minute
        run = await engine.get("s@2026-01-01T01:00:00Z")
        assert await run.result() == "sales: 3"


async def test_a_zone_that_a_machine_does_not_know_makes_a_schedule_stuck(
    path: Path, clock: ManualClock
) -> None:
    """A journal may be moved; the engine opens, and the schedule says what is missing."""
    async with engine_on(path, clock) as engine:
        await engine.schedule(report, "sales", id="s", cron="@hourly")
        await engine.schedule(report, "sales", id="t", cron="@hourly")
        kept = engine.kept_schedules
        kept._put(replace(kept.row("s"), zone="Moon/Tranquility"))
    async with engine_on(path, clock) as engine:
        await pass_time(clock, BEGINNING + HOUR_S)
        infos = {info.id: info for info in await engine.schedules()}
        assert infos["s"].status is ScheduleStatus.STUCK
        assert "Moon/Tranquility" in infos["s"].reason
        assert await started(engine, "t") == ["2026-01-01T01:00:00Z"]


async def test_a_next_time_is_held_against_the_rules_of_its_zone(path: Path, clock: ManualClock) -> None:
    """A country changed its summer time meanwhile: the old time passes, the right one has a run."""
    async with engine_on(path, clock) as engine:
        await engine.schedule(report, "sales", id="s", cron="0 3 * * *")
        kept = engine.kept_schedules
        kept._put(replace(kept.row("s"), next_at=BEGINNING + 2 * HOUR_S))
    async with engine_on(path, clock) as engine:
        await pass_time(clock, BEGINNING + 2.5 * HOUR_S)
        assert await started(engine, "s") == []
        await pass_time(clock, BEGINNING + 3.5 * HOUR_S)
        assert await started(engine, "s") == ["2026-01-01T03:00:00Z"]


async def test_a_run_of_that_id_that_somebody_else_began_is_the_run_of_that_time(
    path: Path, clock: ManualClock
) -> None:
    """Whoever has to make up for a missed time may start it under its stated id."""
    async with engine_on(path, clock) as engine:
        schedule = await engine.schedule(report, "sales", id="s", cron="@hourly")
        run = await engine.start(report, "by hand", id="s@2026-01-01T01:00:00Z")
        await pass_time(clock, BEGINNING + HOUR_S)
        assert (await schedule.describe()).last_run == run.id
        assert (await run.result()).startswith("by hand")


async def test_a_full_disk_makes_a_run_late_and_does_not_lose_it(path: Path, clock: ManualClock) -> None:
    """Nothing is started while nothing can be written; a moment after there is room again, the run is."""
    async with engine_on(path, clock) as engine:
        schedule = await engine.schedule(report, "sales", id="s", cron="@hourly")
        writer = engine._open.journal._writer
        writer.full = "the disk is full"
        clock.jump(HOUR_S)
        for _ in range(20):
            await one_turn()
        assert await started(engine, "s") == []
        with pytest.raises(JournalFullError):
            await schedule.run_now()
        writer.full = ""
        await pass_time(clock, clock.now + 1)
        assert await started(engine, "s") == ["2026-01-01T01:00:00Z"]


async def test_a_closed_engine_has_no_schedules_at_hand(path: Path, clock: ManualClock) -> None:
    """A handle that outlives it says so, and is of use again once it is open."""
    async with engine_on(path, clock) as engine:
        schedule = await engine.schedule(report, "sales", id="s", cron="@hourly")
    for use in (schedule.describe, schedule.pause, schedule.run_now, engine.schedules):
        with pytest.raises(EngineStoppedError):
            await use()
    async with engine:
        assert (await schedule.describe()).id == "s"


async def test_very_many_schedules_open_fast_and_start_without_holding_up_others(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening computes no times, and when all are due together each has a turn of the loop of its own."""
    count = 2_000
    async with engine_on(path, clock) as engine:
        await asyncio.gather(
            *(engine.schedule(long_report, DAY_S, id=f"{n:05}", cron="@hourly") for n in range(count))
        )
    with monkeypatch.context() as opening:
        opening.setattr("orchestrator.durable.embedded.schedules.Timetable", None)
        engine = engine_on(path, clock)
        await engine.open()
    clock.jump(HOUR_S)
    active = [engine.active]
    while active[-1] < count:
        await one_turn()
        active.append(engine.active)
    await clock.settle()
    assert max(after - before for before, after in pairwise(active)) == 1
    assert {info.last_at for info in await engine.schedules()} == {utc(BEGINNING + HOUR_S)}
    await engine.close()

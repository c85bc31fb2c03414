"""The engine port: where the engines differ, as docs/engines.md lists it. Nothing else differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, EmbeddedEngine, TemporalEngine, progress, step, workflow
from orchestrator.core.errors import InvalidInputError
from orchestrator.durable.errors import RunClosedError, RunFailedError
from orchestrator.durable.runs import EventType, Status
from orchestrator.durable.temporal import going_on
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.durable.engine import Engine, Run
    from support.contract_lab import Lab
    from support.services import TemporalServer


@step
async def speak() -> str:
    """Say something on the way."""
    progress("a word")
    return "the whole"


@workflow
async def speech(ctx: Context) -> str:
    """One step that says something."""
    return await ctx.run(speak)


@workflow(name="patient")
async def sleeping(ctx: Context) -> None:
    """Sleep, then wait for a signal."""
    await ctx.sleep(0.01)
    await ctx.receive("go")


@workflow(name="patient")
async def listening(ctx: Context) -> None:
    """Another timer in the place of the sleep."""
    try:
        await ctx.receive("nothing", timeout=0.01)
    except TimeoutError:
        await ctx.receive("go")


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


@workflow(name="asking")
async def asking(ctx: Context) -> str:
    """A step, then a signal."""
    await ctx.run(speak)
    return await ctx.receive("go", str)


@workflow(name="asking")
async def silent(ctx: Context) -> str:
    """The signal without the step."""
    return await ctx.receive("go", str)


async def test_temporal_takes_two_kilobytes_of_tags(lab: Lab, engine_name: str) -> None:
    """More is refused at the start, with what to do; a file takes any."""
    tags = {f"tag-{number}": "x" * 100 for number in range(50)}
    async with lab.open([echo]) as engine:
        if engine_name.startswith("temporal"):
            with pytest.raises(InvalidInputError, match="Give fewer tags, or shorter ones"):
                await engine.start(echo, "hi", tags=tags)
            return
        run = await engine.start(echo, "hi", tags=tags)
        assert await lab.listed(engine, [run.id], tags=tags) == [run.id]


async def test_a_list_is_of_a_file_or_of_a_task_queue(lab: Lab) -> None:
    """An engine lists the runs that it could work on, and, where its list lags, each of them in the end."""
    async with lab.open([echo]) as engine:
        run = await engine.start(echo, "hi")
        await run.result()
        assert await lab.listed(engine, [run.id]) == [run.id]


async def test_a_time_that_comes_twice_happens_once(lab: Lab, engine_name: str) -> None:
    """The first time in the embedded engine; in Berlin, whose clocks show it, the second time on Temporal."""
    async with lab.open([echo]) as engine:
        schedule = await engine.schedule(
            echo, "hi", id=lab.id("twice"), cron="30 2 * 10 0L", zone="Europe/Berlin"
        )
        next_at = (await schedule.describe()).next_at
        assert next_at is not None
        assert (next_at.hour, next_at.minute) == (1 if engine_name.startswith("temporal") else 0, 30)
        await schedule.delete()


async def test_a_schedule_is_listed_at_once_or_soon(lab: Lab) -> None:
    """Where lists lag, each schedule is there in the end."""
    async with lab.open([echo]) as engine:
        schedule = await engine.schedule(echo, "hi", id=lab.id("listed"), cron="@daily")
        assert await lab.scheduled(engine, [schedule.id]) == [schedule.id]
        await schedule.delete()
        assert await lab.scheduled(engine, []) == []


async def test_without_streams_temporal_tells_no_progress(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    """The file has what steps say on the way; a cluster's history has no room for it."""

    async def told(engine: Engine) -> list[EventType]:
        return [event.type for event in await all_events(await engine.start(speech))]

    whole = [
        EventType.RUN_STARTED,
        EventType.STEP_STARTED,
        EventType.STEP_PROGRESS,
        EventType.STEP_COMPLETED,
        EventType.RUN_COMPLETED,
    ]
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[speech], steps=[speak]) as embedded:
        assert await told(embedded) == whole
    queue = f"differences-{tmp_path.name}"
    temporal = TemporalEngine(temporal_server.address, workflows=[speech], steps=[speak], task_queue=queue)
    async with temporal:
        assert await told(temporal) == [kind for kind in whole if kind is not EventType.STEP_PROGRESS]


async def test_another_timer_in_the_place_of_one_is_seen_or_taken(lab: Lab, engine_name: str) -> None:
    """A file knows which operation a timer was of; a cluster tells timers apart by their order alone."""
    async with lab.open([sleeping]) as engine:
        run = await engine.start(sleeping, id=lab.id("patient"))
        await _until(run, EventType.TIMER_FIRED)
    async with lab.open([listening]) as engine:
        run = await engine.get(run.id)
        if engine_name.startswith("temporal"):
            await run.signal("go")
            await run.result()
            return
        assert (await run.describe()).status is Status.STUCK


async def test_a_signal_to_a_stuck_run_is_refused_or_kept(lab: Lab, engine_name: str) -> None:
    """A cluster keeps what it is sent, and who takes up the run again finds it."""
    async with lab.open([asking], [speak]) as engine:
        run = await engine.start(asking, id=lab.id("asking"))
        await _until(run, EventType.STEP_COMPLETED)
    async with lab.open([silent]) as engine:
        run = await engine.get(run.id)
        if engine_name.startswith("embedded"):
            with pytest.raises(RunClosedError, match="is stuck and takes no signals"):
                await run.signal("go", "kept")
            return
        await run.signal("go", "kept")
    async with lab.open([asking], [speak]) as engine:
        assert await (await engine.get(run.id)).result() == "kept"


async def _until(run: Run[Any], kind: EventType) -> None:
    """Until its events tell of this."""
    async for event in run.events():
        if event.type is kind:
            return


@workflow
async def crowded(ctx: Context, steps: int) -> list[str]:
    """Make so many steps while another one is under way all the time."""
    open_all_the_time = ctx.run(Gates.wait, "gate")

    async def others() -> str:
        for number in range(steps):
            await ctx.run(Gates.note, str(number))
        return await ctx.run(Gates.wait, "end")

    return list(await ctx.gather(open_all_the_time, others()))


async def test_a_history_has_an_end_where_something_is_always_under_way(
    lab: Lab, engine_name: str, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a run cannot go on in a new history, so on Temporal it fails in words; a file has no end."""
    for limit, low in {"FEWEST_EVENTS": 1, "MOST_EVENTS": 40, "HOLD_S": 0.01}.items():
        monkeypatch.setattr(going_on, limit, low)
    async with lab.open([crowded], [gates]) as engine:
        run = await engine.start(crowded, 20)
        if engine_name.startswith("temporal"):
            with pytest.raises(RunFailedError, match=r"ctx\.continue_as") as failed:
                await run.result()
            assert failed.value.code == "history_too_long"
            assert "were under way" in failed.value.message
            return
        await gates.reached("end")
        gates.open("gate", "end")
        assert await run.result() == ["gate", "end"]

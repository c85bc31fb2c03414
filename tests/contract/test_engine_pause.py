"""Pausing: nothing new begins, what runs ends, deadlines go on; through restarts too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, workflow
from orchestrator.durable.errors import MismatchError, RunCancelledError, RunClosedError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from support.contract_lab import Lab


@workflow
async def two_gates(ctx: Context) -> str:
    """Two steps, one after the other."""
    return await ctx.run(Gates.wait, "first") + await ctx.run(Gates.wait, "second")


@workflow
async def waits(ctx: Context) -> str:
    """A signal, then a step."""
    return await ctx.run(Gates.wait, await ctx.receive("gate", str))


async def until(lab_run: object, kind: EventType) -> None:
    """Until the run's history has an event of that type."""
    async with asyncio.timeout(30):
        async for event in lab_run.events():  # type: ignore[attr-defined]
            if event.type is kind:
                return


async def test_a_paused_run_lets_its_step_end_and_begins_no_other(lab: Lab, gates: Gates) -> None:
    """The step that runs ends and counts; the next one begins after the resume."""
    async with lab.open([two_gates], [gates]) as engine:
        run = await engine.start(two_gates)
        await gates.reached("first")
        await run.pause()
        assert (await run.describe()).status is Status.PAUSED
        gates.open("first", "second")
        await until(run, EventType.STEP_COMPLETED)
        assert gates.calls == ["first"]
        await run.resume()
        assert await run.result() == "firstsecond"
        assert gates.calls == ["first", "second"]


async def test_a_pause_survives_a_restart(lab: Lab, gates: Gates) -> None:
    """A paused run is paused in the next process too, and takes signals meanwhile."""
    async with lab.open([waits], [gates]) as engine:
        run = await engine.start(waits, id=lab.id("run"))
        await run.pause()
    gates.open("gate")
    async with lab.open([waits], [gates]) as engine:
        run = await engine.get(lab.id("run"))
        assert (await run.describe()).status is Status.PAUSED
        await run.signal("gate", "gate")
        assert (await run.describe()).status is Status.PAUSED
        assert gates.calls == []
        await run.resume()
        assert await run.result() == "gate"


async def test_deadlines_go_on_while_a_run_is_paused(lab: Lab, gates: Gates) -> None:
    """A timeout that comes during a pause has come."""

    @workflow
    async def hurries(ctx: Context) -> str:
        try:
            return await ctx.receive("answer", str, timeout=0.05)
        except TimeoutError:
            return "late"

    async with lab.open([hurries], [gates]) as engine:
        run = await engine.start(hurries)
        await run.pause()
        assert await run.result() == "late"


async def test_a_paused_run_can_be_cancelled(lab: Lab, gates: Gates) -> None:
    """A cancel needs no resume."""
    async with lab.open([waits], [gates]) as engine:
        run = await engine.start(waits)
        await run.pause()
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()


async def test_what_a_cancelled_run_cleans_up_needs_no_resume(lab: Lab, gates: Gates) -> None:
    """A cancel lifts the pause: steps that clean up would wait for ever else. What was held never begins."""

    @workflow
    async def tidy(ctx: Context) -> None:
        try:
            await ctx.receive("go")
            await ctx.run(Gates.note, "held")
        finally:
            await ctx.run(Gates.note, "cleaned up")

    async with lab.open([tidy], [gates]) as engine:
        run = await engine.start(tidy)
        await run.pause()
        await run.signal("go")
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        assert gates.calls == ["cleaned up"]


async def test_pausing_twice_is_pausing_once(lab: Lab, gates: Gates) -> None:
    """Pause and resume say what is to be, so that repeating them changes nothing."""
    async with lab.open([waits], [gates]) as engine:
        run = await engine.start(waits)
        await run.resume()
        await run.pause()
        await run.pause()
        await run.resume()
        await run.resume()
        gates.open("gate")
        await run.signal("gate", "gate")
        assert await run.result() == "gate"
        kinds = [event.type for event in await all_events(run)]
        assert kinds.count(EventType.RUN_PAUSED) == kinds.count(EventType.RUN_RESUMED) == 1


async def test_an_ended_run_cannot_be_paused(lab: Lab, gates: Gates) -> None:
    """There is nothing left to hold, and the caller is told."""
    gates.open("first", "second")
    async with lab.open([two_gates], [gates]) as engine:
        run = await engine.start(two_gates)
        await run.result()
        with pytest.raises(RunClosedError, match="completed"):
            await run.pause()
        with pytest.raises(RunClosedError, match="completed"):
            await run.resume()


async def test_a_stuck_run_is_tried_again_on_request(lab: Lab, gates: Gates) -> None:
    """Once its code fits again a stuck run goes on without a restart; until then one is told why not."""

    @workflow
    async def fickle(ctx: Context) -> str:
        name = await ctx.run(Gates.note, "first")
        return name + await ctx.receive("go", str)

    @workflow(name="fickle")
    async def other(ctx: Context) -> str:
        await ctx.sleep(1.0)
        return await ctx.receive("go", str)

    async with lab.open([fickle], [gates]) as engine:
        run = await engine.start(fickle, id=lab.id("run"))
        await until(run, EventType.STEP_COMPLETED)
    async with lab.open([other], [gates]) as engine:
        run = await engine.get(lab.id("run"))
        with pytest.raises(
            MismatchError, match=r"1:Gates\.note, but the code at this point asks for 1:sleep"
        ):
            await run.resume()
        assert (await run.describe()).status is Status.STUCK
        other.function = fickle.function  # the right code comes back
        await run.resume()
        await run.signal("go", "!")
        assert await run.result() == "first!"
        assert gates.calls == ["first"]


async def test_paused_runs_are_listed(lab: Lab, gates: Gates) -> None:
    """Paused is a status to search for."""
    async with lab.open([waits], [gates]) as engine:
        paused = await engine.start(waits)
        await engine.start(waits)
        await paused.pause()
        assert await lab.listed(engine, [paused.id], status=[Status.PAUSED]) == [paused.id]

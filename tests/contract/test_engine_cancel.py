"""The engine port: cancelling runs."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, step, workflow
from orchestrator.durable.errors import RunCancelledError, RunFailedError, RunTerminatedError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import Gates

if TYPE_CHECKING:
    from support.contract_lab import Lab


async def test_a_cancel_reaches_the_step_that_runs(lab: Lab, gates: Gates) -> None:
    """The run has ended only after its step has."""

    @workflow
    async def held(ctx: Context) -> str:
        return await ctx.run(Gates.wait, "gate")

    async with lab.open([held], [gates]) as engine:
        run = await engine.start(held)
        await gates.reached("gate")
        await run.cancel()
        with pytest.raises(RunCancelledError, match=run.id):
            await run.result()
        assert gates.ended == ["gate cancelled"]
        info = await run.describe()
        assert info.status is Status.CANCELLED
        assert info.closed_at is not None
        (view,) = await run.steps()
        assert view.status is Status.CANCELLED


async def test_a_cancel_waits_for_a_thread(lab: Lab, gates: Gates) -> None:
    """A plain ``def`` cannot be stopped, so the run ends when the function has."""
    running = asyncio.Event()
    loop = asyncio.get_running_loop()
    released = threading.Event()

    @step
    def block() -> None:
        loop.call_soon_threadsafe(running.set)
        released.wait(timeout=30)
        gates.ended.append("thread")

    @workflow
    async def held(ctx: Context) -> None:
        try:
            await ctx.run(block)
        finally:
            await ctx.run(Gates.note, "cleanup")

    async with lab.open([held], [block, gates]) as engine:
        run = await engine.start(held)
        await running.wait()
        await run.cancel()
        released.set()
        with pytest.raises(RunCancelledError):
            await run.result()
    assert gates.ended == ["thread", "cleanup"]


async def test_a_cancel_ends_a_wait(lab: Lab, gates: Gates) -> None:
    """A run that sleeps, or waits for a signal, is cancelled at once."""

    @workflow
    async def patient(ctx: Context) -> None:
        await ctx.run(Gates.note, "begun")
        await ctx.gather(ctx.sleep(86_400), ctx.receive("never"))

    async with lab.open([patient], [gates]) as engine:
        run = await engine.start(patient)
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()


async def test_cleanup_may_run_steps(lab: Lab, gates: Gates) -> None:
    """The cancel is delivered once: what ``finally`` does afterwards is not cancelled again."""

    @workflow
    async def tidy(ctx: Context) -> None:
        try:
            await ctx.run(Gates.wait, "gate")
        finally:
            await ctx.run(Gates.note, "cleanup")
            await ctx.sleep(0.01)
            await ctx.run(Gates.note, "cleanup done")

    async with lab.open([tidy], [gates]) as engine:
        run = await engine.start(tidy)
        await gates.reached("gate")
        await run.cancel()
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        assert gates.ended == ["gate cancelled", "cleanup", "cleanup done"]


async def test_a_run_that_swallows_its_cancel_completes(lab: Lab, gates: Gates) -> None:
    """The workflow has the last word."""

    @workflow
    async def stubborn(ctx: Context) -> str:
        try:
            return await ctx.run(Gates.wait, "gate")
        except asyncio.CancelledError:
            return await ctx.run(Gates.note, "something else")

    async with lab.open([stubborn], [gates]) as engine:
        run = await engine.start(stubborn)
        await gates.reached("gate")
        await run.cancel()
        assert await run.result() == "something else"
        assert (await run.describe()).status is Status.COMPLETED


async def test_a_run_that_fails_at_its_cancel_has_failed(lab: Lab, gates: Gates) -> None:
    """An error of the cleanup is not hidden by the cancel."""

    @workflow
    async def clumsy(ctx: Context) -> str:
        try:
            return await ctx.run(Gates.wait, "gate")
        except asyncio.CancelledError:
            raise ValueError("dropped it") from None

    async with lab.open([clumsy], [gates]) as engine:
        run = await engine.start(clumsy)
        await gates.reached("gate")
        await run.cancel()
        with pytest.raises(RunFailedError, match="ValueError: dropped it"):
            await run.result()


async def test_a_workflow_that_cancels_itself_has_failed(lab: Lab) -> None:
    """Nobody asked for a cancel, so the run is not shown as cancelled."""

    @workflow
    async def quit_it(ctx: Context) -> None:
        raise asyncio.CancelledError("of its own will")

    async with lab.open([quit_it]) as engine:
        run = await engine.start(quit_it)
        with pytest.raises(RunFailedError, match="CancelledError"):
            await run.result()


async def test_a_cancel_of_branches_reaches_all_of_them(lab: Lab, gates: Gates) -> None:
    """Every step that runs is cancelled, those that wait for their turn never begin."""

    @workflow
    async def fan(ctx: Context) -> list[str]:
        return await ctx.map(Gates.wait, ["a", "b", "c", "d"], at_once=2)

    async with lab.open([fan], [gates]) as engine:
        run = await engine.start(fan)
        await gates.reached("a", "b")
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        assert sorted(gates.ended) == ["a cancelled", "b cancelled"]
        assert sorted(gates.calls) == ["a", "b"]


async def test_a_cancel_between_two_steps_keeps_the_second_from_starting(lab: Lab, gates: Gates) -> None:
    """A run that was asked to stop while no engine was open begins nothing new."""

    @workflow
    async def two(ctx: Context) -> None:
        await ctx.run(Gates.note, "one")
        await ctx.receive("go")
        await ctx.run(Gates.note, "two")

    async with lab.open([two], [gates]) as engine:
        run = await engine.start(two)
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
    assert "two" not in gates.calls


async def test_a_cancel_of_an_ended_run_does_nothing(lab: Lab) -> None:
    """Its result stays."""

    @workflow
    async def quick(ctx: Context) -> str:
        return "done"

    async with lab.open([quick]) as engine:
        run = await engine.start(quick)
        assert await run.result() == "done"
        await run.cancel()
        assert (await run.describe()).status is Status.COMPLETED
        assert await run.result() == "done"


async def test_a_cancel_outlives_its_engine(lab: Lab, gates: Gates) -> None:
    """Cleanup that a closing engine interrupts goes on in the next one, and the run still ends cancelled."""

    @workflow
    async def tidy(ctx: Context) -> None:
        try:
            await ctx.run(Gates.wait, "work")
        finally:
            await ctx.run(Gates.wait, "cleanup")

    async with lab.open([tidy], [gates]) as engine:
        run = await engine.start(tidy)
        await gates.reached("work")
        await run.cancel()
        await gates.reached("cleanup")
    gates.open("cleanup")
    async with lab.open([tidy], [gates]) as engine:
        with pytest.raises(RunCancelledError):
            await (await engine.get(run.id)).result()
    assert gates.calls.count("work") == 1
    assert gates.ended[-1] == "cleanup"


async def test_force_ends_a_run_at_once_and_without_its_code(lab: Lab, gates: Gates) -> None:
    """Nothing is cleaned up or compensated, and its step is stopped."""

    @workflow
    async def held(ctx: Context) -> None:
        ctx.compensate(Gates.note, "undone")
        try:
            await ctx.run(Gates.wait, "gate")
        finally:
            await ctx.run(Gates.note, "cleanup")

    async with lab.open([held], [gates]) as engine:
        run = await engine.start(held)
        await gates.reached("gate")
        await run.cancel(force_after=0)
        with pytest.raises(RunTerminatedError):
            await run.result()
        info = await run.describe()
        assert info.status is Status.TERMINATED
        assert info.closed_at is not None
        *_, last = [event async for event in run.events()]
        assert last.type is EventType.RUN_TERMINATED
        await run.cancel(force_after=0)
    assert gates.calls == ["gate"]


async def test_force_ends_a_run_that_does_not_come_to_its_end(lab: Lab, gates: Gates) -> None:
    """A first cancel was not enough; the undo that hangs is stopped, the rest is left undone."""

    @workflow
    async def held(ctx: Context) -> None:
        ctx.compensate(Gates.note, "undone")
        ctx.compensate(Gates.wait, "counter")
        await ctx.run(Gates.wait, "gate")

    async with lab.open([held], [gates]) as engine:
        run = await engine.start(held)
        await gates.reached("gate")
        await run.cancel()
        await gates.reached("counter")
        await run.cancel(force_after=0)
        with pytest.raises(RunTerminatedError):
            await run.result()
    assert gates.calls == ["gate", "counter"]


async def test_a_run_that_ends_in_time_is_not_forced(lab: Lab, gates: Gates) -> None:
    """It is cancelled as ever, with its cleanup."""

    @workflow
    async def tidy(ctx: Context) -> None:
        try:
            await ctx.run(Gates.wait, "gate")
        finally:
            await ctx.run(Gates.note, "cleanup")

    async with lab.open([tidy], [gates]) as engine:
        run = await engine.start(tidy)
        await gates.reached("gate")
        await run.cancel(force_after=3_600)
        with pytest.raises(RunCancelledError):
            await run.result()
        with pytest.raises(ValueError, match="force_after=-1"):
            await run.cancel(force_after=-1)
    assert gates.ended == ["gate cancelled", "cleanup"]


async def test_a_run_that_does_not_end_in_time_is_forced(lab: Lab, gates: Gates) -> None:
    """However long its cleanup would take."""

    @workflow
    async def slow(ctx: Context) -> None:
        try:
            await ctx.run(Gates.wait, "gate")
        finally:
            await ctx.run(Gates.wait, "cleanup")

    async with lab.open([slow], [gates]) as engine:
        run = await engine.start(slow)
        await gates.reached("gate")
        await run.cancel(force_after=3_600)
        await gates.reached("cleanup")
        await run.cancel(force_after=0.01)
        await run.cancel(force_after=3_600)
        with pytest.raises(RunTerminatedError):
            await run.result()
    assert gates.calls == ["gate", "cleanup"]

"""The engine port: what an engine that closes leaves to the next one, and what a run may begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, step, step_info, workflow
from orchestrator.core.errors import TerminalError
from orchestrator.durable.errors import RunFailedError
from support.contract_lab import Gates

if TYPE_CHECKING:
    from support.contract_lab import Lab


async def test_a_completed_step_never_runs_again(lab: Lab, gates: Gates) -> None:
    """The next engine goes on where the last one stopped; only what was in flight runs once more."""

    @workflow
    async def three(ctx: Context) -> list[str]:
        return [await ctx.run(Gates.wait, name) for name in ("one", "two", "three")]

    async with lab.open([three], [gates]) as engine:
        run = await engine.start(three)
        gates.open("one")
        await gates.reached("two")
    gates.open("two", "three")
    async with lab.open([three], [gates]) as engine:
        assert await (await engine.get(run.id)).result() == ["one", "two", "three"]
    assert gates.calls == ["one", "two", "two", "three"]


async def test_a_step_that_was_in_flight_keeps_its_key(lab: Lab, gates: Gates) -> None:
    """So whatever it calls can tell that it is asked again."""
    keys: list[str] = []

    @step
    async def pay() -> None:
        keys.append(step_info().idempotency_key)
        await Gates.wait(gates, "gate")

    @workflow
    async def order(ctx: Context) -> None:
        await ctx.run(pay)

    async with lab.open([order], [pay]) as engine:
        run = await engine.start(order)
        await gates.reached("gate")
    gates.open("gate")
    async with lab.open([order], [pay]) as engine:
        await (await engine.get(run.id)).result()
    assert keys == [f"{run.id}/1:pay"] * 2


async def test_branches_resume_each_where_it_was(lab: Lab, gates: Gates) -> None:
    """A branch that was ahead stays ahead, whatever the others do."""

    async def branch(ctx: Context, name: str) -> list[str]:
        return [await ctx.run(Gates.wait, f"{name}{number}") for number in (1, 2)]

    @workflow
    async def fan(ctx: Context) -> list[list[str]]:
        return list(await ctx.gather(*[branch(ctx, name) for name in "abc"]))

    async with lab.open([fan], [gates]) as engine:
        run = await engine.start(fan)
        gates.open("b1")
        await gates.reached("a1", "b2", "c1")
    gates.open("a1", "a2", "b2", "c1", "c2")
    async with lab.open([fan], [gates]) as engine:
        result = await (await engine.get(run.id)).result()
    assert result == [["a1", "a2"], ["b1", "b2"], ["c1", "c2"]]
    assert gates.calls.count("b1") == 1


async def test_signals_outlive_their_engine(lab: Lab, gates: Gates) -> None:
    """Those that were received stay received, those that waited still wait."""

    @workflow
    async def listen(ctx: Context) -> list[int]:
        first = await ctx.receive("n", int)
        await ctx.run(Gates.wait, "gate")
        return [first, await ctx.receive("n", int)]

    async with lab.open([listen], [gates]) as engine:
        run = await engine.start(listen)
        await run.signal("n", 1, id="first")
        await gates.reached("gate")
        await run.signal("n", 2)
    gates.open("gate")
    async with lab.open([listen], [gates]) as engine:
        found = await engine.get(run.id)
        assert await found.result() == [1, 2]


async def test_a_sleeping_run_wakes_in_the_next_engine(lab: Lab, gates: Gates) -> None:
    """Its deadline is what it was when it was asked for."""

    @workflow
    async def nap(ctx: Context) -> bool:
        await ctx.run(Gates.note, "asleep")
        before = ctx.now()
        await ctx.sleep(0.05)
        return (ctx.now() - before).total_seconds() >= 0.05

    async with lab.open([nap], [gates]) as engine:
        run = await engine.start(nap)
    async with lab.open([nap], [gates]) as engine:
        assert await (await engine.get(run.id)).result()
    assert set(gates.calls) == {"asleep"}


async def test_results_are_there_for_every_later_engine(lab: Lab) -> None:
    """Of runs that completed and of runs that failed, without running anything."""
    begun: list[str] = []

    @workflow
    async def maybe(ctx: Context, text: str) -> str:
        begun.append(text)
        if text == "bad":
            raise ValueError("bad text")
        return text

    async with lab.open([maybe]) as engine:
        good = await engine.start(maybe, "good")
        bad = await engine.start(maybe, "bad")
        assert await good.result() == "good"
        with pytest.raises(RunFailedError):
            await bad.result()
    begun.clear()
    async with lab.open([maybe]) as engine:
        assert await (await engine.get(good.id)).result() == "good"
        with pytest.raises(RunFailedError, match="ValueError: bad text"):
            await (await engine.get(bad.id)).result()
    assert begun == []


async def test_a_run_that_begins_with_a_prefix_does_not_run_its_steps(lab: Lab, gates: Gates) -> None:
    """Steps, signals and randomness before the chosen step are taken over; that step and the rest run."""

    @workflow
    async def lesson(ctx: Context, topic: str) -> list[Any]:
        first = await ctx.run(Gates.note, "first")
        heard = await ctx.receive("say", str)
        both = await ctx.gather(ctx.run(Gates.note, "a"), ctx.run(Gates.note, "b"))
        return [topic, first, heard, *both, str(ctx.uuid()), await ctx.run(Gates.wait, "last")]

    gates.open("last")
    async with lab.open([lesson], [gates]) as engine:
        original = await engine.start(lesson, "tea")
        await original.signal("say", "hello")
        result = await original.result()
        gates.calls.clear()
        prefix = await original.recorded(until="Gates.wait")
        copy = await engine.start(lesson, "coffee", prefix=prefix)
        assert await copy.result() == ["coffee", *result[1:]]
        assert copy.id != original.id
        assert gates.calls == ["last"]
        assert [view.name for view in await copy.steps()][-1] == "Gates.wait"


async def test_a_prefix_ends_before_the_first_failure(lab: Lab) -> None:
    """So a failed run is taken up at the step that failed."""
    calls: list[str] = []
    is_mended = False

    @step
    async def work(name: str) -> str:
        calls.append(name)
        if name == "weak" and not is_mended:
            raise TerminalError("broken")
        return name

    @workflow
    async def chain(ctx: Context) -> list[str]:
        return [await ctx.run(work, name) for name in ("strong", "weak", "end")]

    async with lab.open([chain], [work]) as engine:
        failed = await engine.start(chain)
        with pytest.raises(RunFailedError, match="broken"):
            await failed.result()
        is_mended = True
        calls.clear()
        mended = await engine.start(chain, prefix=await failed.recorded())
        assert await mended.result() == ["strong", "weak", "end"]
        assert calls == ["weak", "end"]

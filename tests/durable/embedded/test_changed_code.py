"""Code that no longer fits what was recorded never guesses: the run is stuck, says why, and heals."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, EmbeddedEngine, step, workflow
from orchestrator.core.errors import ConflictError
from orchestrator.durable.errors import MismatchError, RunTerminatedError
from orchestrator.durable.runs import Status
from orchestrator.testing import ManualClock
from support.contract_lab import Gates
from support.quiet import settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


@pytest.fixture
def gates() -> Gates:
    """Steps that a test can hold."""
    return Gates()


def engine_of(path: Path, flow: Any, *steps: object) -> EmbeddedEngine:  # noqa: ANN401  # any workflow
    """An engine with one workflow."""
    return EmbeddedEngine(path, workflows=[flow], steps=steps)


def counting(kind: type, value: object) -> Any:  # noqa: ANN401  # a step, whatever it declares
    """A step named ``count`` that declares that type."""

    async def count() -> Any:  # noqa: ANN401
        return value

    count.__annotations__["return"] = kind
    return step(name="count")(count)


def asking(counted: Any) -> Any:  # noqa: ANN401
    """A workflow that counts and then waits for a signal."""

    @workflow(name="asking")
    async def asking(ctx: Context) -> str:
        found = await ctx.run(counted)
        return f"{found} {await ctx.receive('go', str)}"

    return asking


async def test_a_result_of_another_type_is_a_mismatch_that_heals(path: Path) -> None:
    """A recorded number where the code now declares a mapping: stuck, and on with the right code."""
    number, mapping = counting(int, 7), counting(dict, {})
    flow = asking(number)
    async with engine_of(path, flow, number) as engine:
        await engine.start(flow, id="one")
        await settle(engine)
    async with engine_of(path, asking(mapping), mapping) as engine:
        run = await engine.get("one")
        with pytest.raises(MismatchError, match="recorded result does not fit"):
            await run.result()
    async with engine_of(path, flow, number) as engine:
        run = await engine.get("one")
        await run.signal("go", "on")
        assert await run.result() == "7 on"


async def test_a_resume_tells_why_a_run_is_stuck_still(path: Path) -> None:
    """With code that does not fit, or without any, the run stays where it is, and the caller learns why."""
    number, mapping = counting(int, 7), counting(dict, {})
    flow = asking(number)
    async with engine_of(path, flow, number) as engine:
        await engine.start(flow, id="one")
        await settle(engine)
    async with engine_of(path, asking(mapping), mapping) as engine:
        run = await engine.get("one")
        with pytest.raises(MismatchError, match="run one is stuck still: a recorded result does not fit"):
            await run.resume()
        assert (await run.describe()).status is Status.STUCK
    async with EmbeddedEngine(path) as engine:
        run = await engine.get("one")
        with pytest.raises(MismatchError, match="run one is stuck still: no workflow 'asking'"):
            await run.resume()
        assert (await run.describe()).status is Status.STUCK


async def test_a_step_that_was_begun_and_is_no_longer_asked_for_is_a_mismatch(path: Path) -> None:
    """What was half done does not vanish."""
    gates = Gates()

    def version(run_step: Callable[[Context], Any]) -> Any:  # noqa: ANN401
        @workflow(name="builder")
        async def builder(ctx: Context) -> str:
            return str(await run_step(ctx))

        return builder

    other = counting(int, 1)
    old, new = version(lambda ctx: ctx.run(Gates.wait, "gate")), version(lambda ctx: ctx.run(other))
    async with engine_of(path, old, gates) as engine:
        await engine.start(old, id="one")
        await gates.reached("gate")
        await settle(engine, lambda: 1)
    async with engine_of(path, new, other) as engine:
        with pytest.raises(MismatchError, match=r"history has operation 1:Gates.wait.*asks for 1:count"):
            await (await engine.get("one")).result()


@step
async def first() -> int:
    """A step."""
    return 1


async def test_an_event_that_the_history_lacks_is_a_mismatch(path: Path) -> None:
    """Code that says more than it said before what followed is other code."""

    def version(*, speaks: bool) -> Any:  # noqa: ANN401
        @workflow(name="speaker")
        async def speaker(ctx: Context) -> int:
            number = ctx.run(first)
            if speaks:
                ctx.publish("news")
            await number
            return int(await ctx.receive("go", int))

        return speaker

    quiet, loud = version(speaks=False), version(speaks=True)
    async with engine_of(path, quiet, first) as engine:
        await engine.start(quiet, id="one")
        await settle(engine)
    async with engine_of(path, loud, first) as engine:
        with pytest.raises(MismatchError, match="2:publish news, which the history does not have"):
            await (await engine.get("one")).result()


async def test_a_row_that_cannot_be_read_leaves_a_run_that_can_be_ended(path: Path) -> None:
    """A damaged history makes its run stuck, with the reason; it can be cancelled, others go on."""
    number = counting(int, 7)
    flow = asking(number)
    async with engine_of(path, flow, number) as engine:
        for run_id in ("one", "two"):
            await engine.start(flow, id=run_id)
        await settle(engine)
    with sqlite3.connect(path) as file:
        file.execute(
            "UPDATE entries SET type = 'nonsense' WHERE type = 'step-completed' AND stream = "
            "(SELECT number FROM streams WHERE name = 'run/one')"
        )
    file.close()
    async with engine_of(path, flow, number) as engine:
        damaged, sound = await engine.get("one"), await engine.get("two")
        with pytest.raises(MismatchError, match="history cannot be read"):
            await damaged.result()
        await damaged.cancel()
        with pytest.raises(RunTerminatedError):
            await damaged.result()
        await sound.signal("go", "on")
        assert await sound.result() == "7 on"


async def test_a_context_serves_its_workflow_alone(path: Path) -> None:
    """Code outside the run's own turn, such as a step, is refused with a sentence."""
    seen: list[Context] = []

    @workflow
    async def careless(ctx: Context) -> str:
        seen.append(ctx)
        return await ctx.receive("go", str)

    async with EmbeddedEngine(path, workflows=[careless]) as engine:
        run = await engine.start(careless)
        await settle(engine)
        with pytest.raises(Exception, match="its workflow's own code alone"):
            seen[0].publish("from outside")
        await run.signal("go", "on")
        assert await run.result() == "on"
        assert (await run.describe()).status is Status.COMPLETED


@workflow(name="clinging")
async def clinging(ctx: Context) -> None:
    """Sleep, then take no notice of a cancel."""
    await ctx.sleep(1)
    try:
        await ctx.receive("never")
    except asyncio.CancelledError:
        await ctx.receive("never")


@workflow(name="clinging")
async def other_clinging(ctx: Context) -> None:
    """Do not sleep, and so fit no more."""
    await ctx.receive("never")


@pytest.mark.parametrize("workflows", [[], [other_clinging]])
async def test_a_stuck_run_is_ended_by_force_in_time(path: Path, workflows: list[Any]) -> None:
    """A cancel's deadline holds without the code too, whether that is missing or does not fit."""
    clock = ManualClock()
    async with EmbeddedEngine(path, workflows=[clinging], clock=clock) as engine:
        run = await engine.start(clinging, id="run")
        await clock.advance(seconds=1)
        await run.cancel(force_after=60)
    async with EmbeddedEngine(path, workflows=workflows, clock=clock) as engine:
        run = await engine.get("run")
        assert (await run.describe()).status is Status.STUCK
        await clock.advance(minutes=1)
        assert (await run.describe()).status is Status.TERMINATED


async def test_a_child_that_a_stuck_parent_has_not_heard_of_is_kept(path: Path, gates: Gates) -> None:
    """A parent whose code is missing would begin the child again if it were deleted; so it is not."""

    @workflow
    async def child(ctx: Context) -> str:
        return await ctx.run(Gates.wait, "gate")

    @workflow
    async def parent(ctx: Context) -> str:
        return await ctx.child(child, id="child")

    async with EmbeddedEngine(path, workflows=[parent, child], steps=[gates]) as engine:
        await engine.start(parent, id="parent")
        await gates.reached("gate")
    gates.open("gate")
    async with EmbeddedEngine(path, workflows=[child], steps=[gates]) as engine:
        assert await (await engine.get("child")).result() == "gate"
        with pytest.raises(ConflictError, match="its parent has not recorded"):
            await engine.delete("child")
    async with EmbeddedEngine(path, workflows=[parent, child], steps=[gates]) as engine:
        assert await (await engine.get("parent")).result() == "gate"
        await engine.delete("child")
    assert gates.calls == ["gate", "gate"]

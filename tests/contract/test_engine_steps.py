"""The engine port: how steps run, one after the other and side by side."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator import Context, StepError, step, step_info, workflow
from orchestrator.core.errors import TerminalError
from support.contract_lab import Gates

if TYPE_CHECKING:
    from support.contract_lab import Lab


class Shop:
    """Steps that need something of their surroundings."""

    def __init__(self, prices: dict[str, int]) -> None:
        self._prices = prices

    @step
    async def price(self, item: str, *, count: int = 1) -> int:
        """Look a price up."""
        return self._prices[item] * count

    @step(name="stock")
    def how_many(self) -> int:
        """Count, without waiting."""
        return len(self._prices)


@dataclass
class Basket:
    """A method that is not a step stays a method."""

    items: list[str]


async def test_methods_know_their_instance(lab: Lab) -> None:
    """A step may be a method; the engine was given the instance, the workflow names the class."""

    @workflow
    async def total(ctx: Context, basket: Basket) -> int:
        prices = [await ctx.run(Shop.price, item, count=2) for item in basket.items]
        return sum(prices) + await ctx.run(Shop.how_many)

    async with lab.open([total], [Shop({"tea": 3, "milk": 1})]) as engine:
        run = await engine.start(total, Basket(["tea", "milk"]))
        assert await run.result() == 3 * 2 + 1 * 2 + 2
        assert [view.name for view in await run.steps()] == ["Shop.price", "Shop.price", "stock"]


async def test_a_plain_function_runs_in_a_thread(lab: Lab) -> None:
    """So it may block; the steps of others go on meanwhile, and ``step_info`` works in it."""
    released = threading.Event()
    threads: list[int] = []

    @step
    def block() -> str:
        threads.append(threading.get_ident())
        assert released.wait(timeout=30)
        return step_info().step

    @step
    async def release() -> None:
        released.set()

    @workflow
    async def both(ctx: Context) -> str:
        blocked, _ = await ctx.gather(ctx.run(block), ctx.run(release))
        return blocked

    async with lab.open([both], [block, release]) as engine:
        assert await (await engine.start(both)).result() == "block"
    assert threads != [threading.get_ident()]


async def test_a_thread_may_end_with_any_exception(lab: Lab) -> None:
    """Even with one that Python's futures cannot carry."""

    @step
    def first_of_none() -> int:
        return next(iter(()))

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            await ctx.run(first_of_none)
        except StepError as error:
            return error.type
        return "nothing raised"

    async with lab.open([ask], [first_of_none]) as engine:
        assert await (await engine.start(ask)).result() == "RuntimeError"


async def test_map_keeps_the_order_and_the_bound(lab: Lab) -> None:
    """Results come in the items' order, however they end, and no more than ``at_once`` are in flight."""
    most = 0
    in_flight = 0
    full = asyncio.Event()

    @step
    async def square(number: int) -> int:
        nonlocal most, in_flight
        in_flight += 1
        most = max(most, in_flight)
        if in_flight == 3:
            full.set()
        await full.wait()
        in_flight -= 1
        return number * number

    @workflow
    async def squares(ctx: Context, numbers: list[int]) -> list[int]:
        return await ctx.map(square, numbers, at_once=3)

    async with lab.open([squares], [square]) as engine:
        run = await engine.start(squares, list(range(12)))
        assert await run.result() == [number * number for number in range(12)]
    assert most == 3


async def test_map_over_nothing_gives_nothing(lab: Lab) -> None:
    """And runs nothing."""

    @workflow
    async def none_of_them(ctx: Context) -> list[str]:
        return await ctx.map(Gates.note, [])

    async with lab.open([none_of_them], [Gates()]) as engine:
        assert await (await engine.start(none_of_them)).result() == []


async def test_the_first_failure_of_a_map_stops_the_rest(lab: Lab) -> None:
    """What is running is cancelled and waited for, what is waiting never begins."""
    begun: list[int] = []
    ended: list[int] = []
    both_run = asyncio.Event()

    @step
    async def work(number: int) -> None:
        begun.append(number)
        if len(begun) == 2:
            both_run.set()
        await both_run.wait()
        if number == 0:
            raise TerminalError("no")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    @workflow
    async def all_of_them(ctx: Context) -> str:
        try:
            await ctx.map(work, range(5), at_once=2)
        except StepError as error:
            return error.message
        return "nothing raised"

    async with lab.open([all_of_them], [work]) as engine:
        assert await (await engine.start(all_of_them)).result() == "no"
        assert (sorted(begun), ended) == ([0, 1], [1])


async def test_branches_number_their_operations_on_their_own(lab: Lab) -> None:
    """A branch's place comes from the gather that made it, whoever of them is faster."""

    async def branch(ctx: Context, name: str) -> list[str]:
        return [await ctx.run(Gates.note, f"{name}{number}") for number in range(2)]

    @workflow
    async def fan(ctx: Context) -> tuple[list[str], list[str]]:
        await ctx.run(Gates.note, "before")
        return await ctx.gather(branch(ctx, "a"), branch(ctx, "b"))

    async with lab.open([fan], [Gates()]) as engine:
        run = await engine.start(fan)
        assert await run.result() == (["a0", "a1"], ["b0", "b1"])
        places = {view.operation for view in await run.steps()}
        assert places == {"1", "2.0/1", "2.0/2", "2.1/1", "2.1/2"}


async def test_the_first_failure_of_a_gather_cancels_the_others_and_waits(lab: Lab, gates: Gates) -> None:
    """When gather raises, no branch is running any more, cleanup included."""

    @step
    async def fail_beside() -> None:
        await gates.reached("gate")
        raise TerminalError("no")

    async def other(ctx: Context) -> None:
        try:
            await ctx.run(Gates.wait, "gate")
        finally:
            await ctx.run(Gates.note, "cleanup")

    @workflow
    async def fan(ctx: Context) -> str:
        try:
            await ctx.gather(ctx.run(fail_beside), other(ctx))
        except StepError as error:
            await ctx.run(Gates.note, "after")
            return error.message
        return "nothing raised"

    async with lab.open([fan], [fail_beside, gates]) as engine:
        assert await (await engine.start(fan)).result() == "no"
        assert gates.ended == ["gate cancelled", "cleanup", "after"]

"""The engine port: a run that begins with what another one recorded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, step, workflow
from orchestrator.core.errors import ConflictError, InvalidInputError, TerminalError
from orchestrator.durable.errors import MismatchError, RunCancelledError, RunFailedError
from orchestrator.durable.payloads import PayloadError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import Gates

if TYPE_CHECKING:
    from orchestrator.durable.engine import Run
    from support.contract_lab import Lab


class Kitchen:
    """Steps that are counted, and that fail while they are broken."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.broken: set[str] = set()

    @step
    async def cook(self, dish: str) -> str:
        """Cook a dish; the result tells how often anything was cooked."""
        self.calls.append(dish)
        if dish in self.broken:
            raise TerminalError(f"burnt {dish}")
        return f"{dish} {len(self.calls)}"

    @step
    async def serve(self, dishes: list[str]) -> int:
        """Serve them."""
        self.calls.append("serve")
        if "serve" in self.broken:
            raise TerminalError("dropped it")
        return len(dishes)


@workflow
async def dinner(ctx: Context, name: str) -> list[Any]:
    """Cook three dishes, two of them side by side, and serve them."""
    soup = await ctx.run(Kitchen.cook, "soup")
    both = await ctx.map(Kitchen.cook, ["fish", "rice"])
    dishes = [soup, *both]
    return [name, *dishes, str(ctx.uuid()), await ctx.run(Kitchen.serve, dishes)]


@pytest.fixture
def kitchen() -> Kitchen:
    """Steps that cook."""
    return Kitchen()


async def failed(run: Run[Any]) -> RunFailedError:
    """The error of a run that fails."""
    with pytest.raises(RunFailedError) as caught:
        await run.result()
    return caught.value


async def test_a_fork_runs_the_named_step_and_later_ones_anew(lab: Lab, kitchen: Kitchen) -> None:
    """What came before is taken over with its results and randomness; the first run stays as it was."""
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada", owner="o", tags={"table": "4"})
        result = await run.result()
        kitchen.calls.clear()
        fork = await run.fork(from_step="Kitchen.serve")
        assert await fork.result() == result
        assert kitchen.calls == ["serve"]
        info = await fork.describe()
        assert (info.owner, info.tags) == ("o", {"table": "4", "forked_from": run.id})
        assert info.workflow == "dinner"
        assert fork.id != run.id
        assert (await run.describe()).tags == {"table": "4"}
        assert await lab.listed(engine, [fork.id], tags={"forked_from": run.id}) == [fork.id]


async def test_a_fork_tells_where_it_comes_from(lab: Lab, kitchen: Kitchen) -> None:
    """Its history has one event between what it took over and what it did itself."""
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada")
        await run.result()
        fork = await run.fork(from_step="Kitchen.serve")
        await fork.result()
        events = [event async for event in fork.events()]
        index = [event.type for event in events].index(EventType.RUN_FORKED)
        assert events[index].data == {"from": run.id, "from_step": "Kitchen.serve"}
        assert {event.name for event in events[:index]} == {"", "Kitchen.cook"}
        assert events[index - 1].at <= events[index].at <= (await fork.describe()).created_at
        assert [event.offset for event in events] == list(range(1, len(events) + 1))


STEPS_OF_DINNER = {
    "1": ["fish", "rice", "serve", "soup"],
    "1:Kitchen.cook": ["fish", "rice", "serve", "soup"],
    "Kitchen.cook": ["fish", "rice", "serve", "soup"],
    "2.0/1": ["fish", "rice", "serve"],
    "3": ["serve"],
    "3:Kitchen.serve": ["serve"],
}


async def test_a_step_is_named_by_its_operation_too(lab: Lab, kitchen: Kitchen) -> None:
    """So each of several steps of one name can be chosen; the name alone means the first."""
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada")
        await run.result()
        for from_step, again in STEPS_OF_DINNER.items():
            kitchen.calls.clear()
            fork = await run.fork(from_step=from_step)
            await fork.result()
            assert sorted(kitchen.calls) == again, from_step


async def test_an_unknown_step_is_refused_with_those_that_there_are(lab: Lab, kitchen: Kitchen) -> None:
    """The message helps to name the right one, and nothing is started."""
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada")
        await run.result()
        for asked in (run.fork(from_step="Kitchen.bake"), run.recorded(until="7")):
            with pytest.raises(InvalidInputError, match=r"no step .*1:Kitchen\.cook.*3:Kitchen\.serve"):
                await asked
        assert await lab.listed(engine, [run.id]) == [run.id]


async def test_without_a_step_a_failed_run_is_taken_up_where_it_failed(lab: Lab, kitchen: Kitchen) -> None:
    """The step that failed runs again."""
    kitchen.broken = {"serve"}
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada")
        await failed(run)
        kitchen.calls.clear()
        kitchen.broken.clear()
        fork = await run.fork()
        assert (await fork.result())[-1] == 3
        assert kitchen.calls == ["serve"]
        assert (await run.describe()).status is Status.FAILED


async def test_without_a_step_a_run_in_which_nothing_failed_is_not_forked(lab: Lab, kitchen: Kitchen) -> None:
    """Nobody could know what is meant."""
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada")
        await run.result()
        with pytest.raises(InvalidInputError, match=r"from_step.*3:Kitchen\.serve"):
            await run.fork()


async def test_a_failure_that_was_handled_before_is_taken_over(lab: Lab, kitchen: Kitchen) -> None:
    """It is an outcome like any other."""

    @workflow
    async def supper(ctx: Context) -> list[str]:
        try:
            first = await ctx.run(Kitchen.cook, "soup")
        except TerminalError as error:
            first = error.message
        second = await ctx.run(Kitchen.cook, "rice")
        served = await ctx.run(Kitchen.serve, [first, second])
        return [first, second, f"{served} served"]

    kitchen.broken = {"soup"}
    async with lab.open([supper], [kitchen]) as engine:
        run = await engine.start(supper)
        result = await run.result()
        kitchen.calls.clear()
        kitchen.broken.clear()
        assert await (await run.fork(from_step="Kitchen.serve")).result() == result
        assert kitchen.calls == ["serve"]


async def test_an_open_run_is_forked(lab: Lab, gates: Gates) -> None:
    """It goes on as if nothing had happened, and so does its fork."""

    @workflow
    async def two(ctx: Context) -> list[Any]:
        return [await ctx.run(Gates.note, "one"), await ctx.run(Gates.wait, "gate"), await ctx.receive("go")]

    async with lab.open([two], [gates]) as engine:
        run = await engine.start(two)
        await gates.reached("gate")
        fork = await run.fork(from_step="Gates.wait")
        gates.open("gate")
        await fork.signal("go", "fork")
        await run.signal("go", "first")
        assert await run.result() == ["one", "gate", "first"]
        assert await fork.result() == ["one", "gate", "fork"]
        assert sorted(gates.calls) == ["gate", "gate", "one"]


async def test_signals_before_the_step_are_taken_over(lab: Lab, gates: Gates) -> None:
    """Those that were received and those that nobody had received yet; later ones are not."""

    @workflow
    async def listen(ctx: Context) -> list[str]:
        first = await ctx.receive("say", str)
        await ctx.run(Gates.wait, "gate")
        return [first, await ctx.receive("say", str), await ctx.receive("say", str)]

    async with lab.open([listen], [gates]) as engine:
        run = await engine.start(listen)
        await run.signal("say", "a", id="a")
        await gates.reached("gate")
        gates.open("gate")
        await run.signal("say", "b")
        await run.signal("say", "c")
        assert await run.result() == ["a", "b", "c"]
        fork = await run.fork(from_step="Gates.wait")
        await fork.signal("say", "a", id="a")
        await fork.signal("say", "x")
        await fork.signal("say", "y")
        assert await fork.result() == ["a", "x", "y"]


async def test_branches_that_were_half_done_go_on_each_from_where_it_was(lab: Lab, gates: Gates) -> None:
    """What had ended when the step began is taken over; what was running runs anew."""

    async def branch(ctx: Context, name: str) -> list[str]:
        return [await ctx.run(Gates.wait, f"{name}{number}") for number in (1, 2, 3)]

    @workflow
    async def fan(ctx: Context) -> list[list[str]]:
        return list(await ctx.gather(branch(ctx, "a"), branch(ctx, "b")))

    async with lab.open([fan], [gates]) as engine:
        run = await engine.start(fan)
        gates.open("b1", "b2")
        await gates.reached("a1", "b3")
        gates.open("a1", "a2", "a3", "b3")
        result = await run.result()
        gates.calls.clear()
        fork = await run.fork(from_step="1.1/3")
        assert await fork.result() == result
        assert sorted(gates.calls) == ["a1", "a2", "a3", "b3"]


async def test_a_fork_may_have_another_input(lab: Lab, kitchen: Kitchen) -> None:
    """The code gets the new input from its beginning, with the outcomes of the first run."""
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada")
        result = await run.result()
        fork = await run.fork(from_step="Kitchen.serve", with_input="Grace")
        assert await fork.result() == ["Grace", *result[1:]]
        started = await anext(aiter(fork.events()))
        assert started.data == "Grace"
        with pytest.raises(PayloadError, match="input of dinner"):
            await run.fork(from_step="Kitchen.serve", with_input=7)


async def test_an_input_that_does_not_fit_what_was_recorded_is_seen(lab: Lab, kitchen: Kitchen) -> None:
    """The fork is stuck, says what the code asks for instead, and can be cancelled."""

    @workflow
    async def choose(ctx: Context, guests: int) -> int:
        if guests > 0:
            await ctx.run(Kitchen.cook, "rice")
        return await ctx.run(Kitchen.serve, ["water"])

    async with lab.open([choose], [kitchen]) as engine:
        run = await engine.start(choose, 2)
        await run.result()
        fork = await run.fork(from_step="Kitchen.serve", with_input=0)
        with pytest.raises(MismatchError, match=r"1:Kitchen\.cook.*asks for 1:Kitchen\.serve"):
            await fork.result()
        assert (await fork.describe()).status is Status.STUCK
        await fork.cancel()
        assert (await fork.describe()).status is Status.TERMINATED


async def test_a_stuck_run_is_forked_to_where_the_code_still_fits(
    lab: Lab, kitchen: Kitchen, gates: Gates
) -> None:
    """From the step before the change on, the code of today goes its own way."""

    @workflow(name="meal")
    async def before(ctx: Context) -> list[str]:
        first = await ctx.run(Kitchen.cook, "soup")
        second = await ctx.run(Kitchen.cook, "fish")
        return [first, second, await ctx.run(Gates.wait, "gate")]

    @workflow(name="meal")
    async def after(ctx: Context) -> list[str]:
        first = await ctx.run(Kitchen.cook, "soup")
        served = await ctx.run(Kitchen.serve, [first])
        return [first, f"{served} served"]

    async with lab.open([before], [kitchen, gates]) as engine:
        run = await engine.start(before)
        await gates.reached("gate")
    kitchen.calls.clear()
    async with lab.open([after], [kitchen]) as engine:
        run = await engine.get(run.id)
        with pytest.raises(MismatchError, match="stuck"):
            await run.result()
        fork = await run.fork(from_step="2:Kitchen.cook")
        assert await fork.result() == ["soup 1", "1 served"]
        assert kitchen.calls == ["serve"]
        assert (await run.describe()).status is Status.STUCK


async def test_a_fork_is_forked(lab: Lab, kitchen: Kitchen) -> None:
    """What it took over is its own; its origin is the fork."""
    kitchen.broken = {"serve"}
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada")
        await failed(run)
        fork = await run.fork(with_input="Grace")
        await failed(fork)
        kitchen.calls.clear()
        kitchen.broken.clear()
        second = await fork.fork()
        assert (await second.result())[0] == "Grace"
        assert kitchen.calls == ["serve"]
        assert (await second.describe()).tags == {"forked_from": fork.id}
        third = await second.fork(from_step="2.1/1")
        await third.result()
        assert sorted(kitchen.calls) == ["fish", "rice", "serve", "serve"]


async def test_a_cancelled_run_is_taken_up_where_it_was_cancelled(lab: Lab, gates: Gates) -> None:
    """The cancel is not repeated, and what it led to is left out."""

    @workflow
    async def tidy(ctx: Context) -> str:
        await ctx.run(Gates.note, "one")
        try:
            return await ctx.run(Gates.wait, "gate")
        except asyncio.CancelledError:
            await ctx.run(Gates.note, "cleanup")
            raise

    async with lab.open([tidy], [gates]) as engine:
        run = await engine.start(tidy)
        await gates.reached("gate")
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        with pytest.raises(InvalidInputError, match="3 began after the run was asked to stop"):
            await run.fork(from_step="3")
        gates.calls.clear()
        gates.open("gate")
        assert await (await run.fork()).result() == "gate"
        assert gates.calls == ["gate"]


async def test_an_undo_that_failed_is_tried_again_by_a_fork(lab: Lab, kitchen: Kitchen) -> None:
    """The failure that it undoes is taken over, and the undos that were done."""

    @workflow
    async def order(ctx: Context) -> None:
        ctx.compensate(Kitchen.cook, "humble pie")
        ctx.compensate(Kitchen.serve, ["water"])
        await ctx.run(Kitchen.cook, "soup")

    kitchen.broken = {"soup", "humble pie"}
    async with lab.open([order], [kitchen]) as engine:
        run = await engine.start(order)
        assert (await failed(run)).failure.code == "compensation_failed"
        kitchen.broken = set()
        kitchen.calls.clear()
        fork = await run.fork(from_step="undo/2")
        assert (await failed(fork)).failure.message == "burnt soup"
        assert kitchen.calls == ["humble pie"]


async def test_the_same_fork_under_the_same_id_is_the_same_run(lab: Lab, kitchen: Kitchen) -> None:
    """Whoever asks again after a crash gets what he asked for, and nobody else's run."""
    async with lab.open([dinner], [kitchen]) as engine:
        run = await engine.start(dinner, "Ada")
        await run.result()
        fork = await run.fork(from_step="Kitchen.serve", id=lab.id("fork"))
        assert (await run.fork(from_step="Kitchen.serve", id=fork.id)).id == fork.id
        for other in (
            run.fork(from_step="Kitchen.cook", id=fork.id),
            run.fork(from_step="Kitchen.serve", with_input="Grace", id=fork.id),
            run.fork(from_step="Kitchen.serve", id=run.id),
            engine.start(dinner, "Ada", id=fork.id),
        ):
            with pytest.raises(ConflictError):
                await other
        await fork.result()
        assert await lab.listed(engine, [fork.id, run.id]) == [fork.id, run.id]


async def test_children_are_steps_to_a_fork(lab: Lab, kitchen: Kitchen) -> None:
    """A child that ended before is taken over; one that failed is where a fork takes its parent up."""

    @workflow
    async def dish(ctx: Context, name: str) -> str:
        return await ctx.run(Kitchen.cook, name)

    @workflow
    async def menu(ctx: Context) -> list[str]:
        return [await ctx.child(dish, name) for name in ("soup", "fish", "rice")]

    kitchen.broken = {"fish"}
    async with lab.open([menu, dish], [kitchen]) as engine:
        run = await engine.start(menu)
        await failed(run)
        kitchen.broken.clear()
        kitchen.calls.clear()
        fork = await run.fork()
        assert await fork.result() == ["soup 1", "fish 1", "rice 2"]
        assert kitchen.calls == ["fish", "rice"]
        kitchen.calls.clear()
        last = await fork.fork(from_step="3:dish")
        assert (await last.result())[:2] == ["soup 1", "fish 1"]
        assert kitchen.calls == ["rice"]
        with pytest.raises(InvalidInputError, match=r"1:dish.*3:dish"):
            await fork.fork(from_step="4")

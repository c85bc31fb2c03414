"""Workflows that run other workflows: results, failures and cancels go between them, through restarts too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, step, workflow
from orchestrator.core.errors import TerminalError
from orchestrator.durable.errors import ChildError, RunCancelledError, RunFailedError
from orchestrator.durable.runs import EventType, Status
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from support.contract_lab import Lab


@step
async def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@step
async def refuse(number: int) -> int:
    """Never."""
    raise TerminalError(f"no {number}", code="refused")


@workflow
async def doubled(ctx: Context, number: int) -> int:
    """A child with a step."""
    return await ctx.run(double, number)


@workflow
async def refused(ctx: Context, number: int) -> int:
    """A child that fails."""
    return await ctx.run(refuse, number)


@workflow
async def asked(ctx: Context) -> str:
    """A child that waits for a signal."""
    return await ctx.receive("answer", str)


@workflow
async def gated(ctx: Context, name: str) -> str:
    """A child with a step that a test holds."""
    return await ctx.run(Gates.wait, name)


async def test_a_child_gives_its_result(lab: Lab) -> None:
    """Awaiting a child gives what its workflow returns, of its declared type."""

    @workflow
    async def sum_of(ctx: Context, numbers: list[int]) -> int:
        return sum(await ctx.gather(*[ctx.child(doubled, number) for number in numbers]))

    async with lab.open([sum_of, doubled], [double]) as engine:
        assert await (await engine.start(sum_of, [1, 2, 3])).result() == 12


async def test_a_child_is_a_run_of_its_own(lab: Lab) -> None:
    """It has an id, an owner, steps and events; it knows its parent, whose history says which run it is."""

    @workflow
    async def parent(ctx: Context) -> int:
        return await ctx.child(doubled, 4, id=lab.id("child"))

    async with lab.open([parent, doubled], [double]) as engine:
        run = await engine.start(parent, owner="ada")
        assert await run.result() == 8
        child = await engine.get(lab.id("child"))
        info = await child.describe()
        assert (info.status, info.owner, info.workflow) == (Status.COMPLETED, "ada", "doubled")
        assert (info.parent, (await run.describe()).parent) == (run.id, "")
        assert [view.name for view in await child.steps()] == ["double"]
        told = [(event.type, event.name, event.data) for event in await all_events(run)]
        assert (EventType.CHILD_STARTED, "doubled", lab.id("child")) in told
        assert (EventType.CHILD_COMPLETED, "doubled", 8) in told


async def test_a_childs_id_follows_from_its_parents(lab: Lab) -> None:
    """Without an id of its own a child has one by which people find it."""

    @workflow
    async def parent(ctx: Context) -> int:
        return await ctx.child(doubled, 4)

    async with lab.open([parent, doubled], [double]) as engine:
        run = await engine.start(parent, id=lab.id("parent"))
        await run.result()
        assert await (await engine.get(f"{lab.id('parent')}.1")).result() == 8


async def test_a_childs_failure_is_its_parents_error(lab: Lab) -> None:
    """A parent sees why its child failed, and may go on."""

    @workflow
    async def parent(ctx: Context) -> list[str]:
        try:
            await ctx.child(refused, 5)
        except ChildError as error:
            return [error.type, error.code, error.message]
        return []

    async with lab.open([parent, refused], [refuse]) as engine:
        assert await (await engine.start(parent)).result() == ["TerminalError", "refused", "no 5"]


async def test_a_childs_failure_that_nobody_handles_fails_its_parent(lab: Lab) -> None:
    """The first failure goes all the way up."""

    @workflow
    async def middle(ctx: Context) -> int:
        return await ctx.child(refused, 5)

    @workflow
    async def top(ctx: Context) -> int:
        return await ctx.child(middle)

    async with lab.open([top, middle, refused], [refuse]) as engine:
        with pytest.raises(RunFailedError, match="no 5"):
            await (await engine.start(top)).result()


async def test_a_cancel_reaches_children(lab: Lab, gates: Gates) -> None:
    """Who cancels a parent cancels its child, down to the step that is running; the parent waits for it."""

    @workflow
    async def parent(ctx: Context) -> str:
        return await ctx.child(gated, "gate", id=lab.id("child"))

    async with lab.open([parent, gated], [gates]) as engine:
        run = await engine.start(parent)
        await gates.reached("gate")
        await run.cancel()
        with pytest.raises(RunCancelledError):
            await run.result()
        assert gates.ended == ["gate cancelled"]
        assert (await (await engine.get(lab.id("child"))).describe()).status is Status.CANCELLED


async def test_a_child_that_was_cancelled_fails_at_its_parent(lab: Lab) -> None:
    """A child that somebody else ends is an error of its parent, which is not cancelled by it."""

    @workflow
    async def parent(ctx: Context) -> str:
        try:
            return await ctx.child(asked, id=lab.id("child"))
        except ChildError as error:
            return error.code

    async with lab.open([parent, asked]) as engine:
        run = await engine.start(parent)
        async for event in run.events():
            if event.type is EventType.CHILD_STARTED:
                break
        await (await engine.get(lab.id("child"))).cancel()
        assert await run.result() == "run_cancelled"


async def test_children_that_are_left_open_are_cancelled(lab: Lab) -> None:
    """A parent that ends without waiting for a child takes it along."""

    @workflow
    async def parent(ctx: Context) -> str:
        left = ctx.child(asked, id=lab.id("child"))
        await ctx.run(double, 1)
        return type(left).__name__

    async with lab.open([parent, asked], [double]) as engine:
        await (await engine.start(parent)).result()
        child = await engine.get(lab.id("child"))
        with pytest.raises(RunCancelledError):
            await child.result()


async def test_parent_and_child_survive_a_restart(lab: Lab, gates: Gates) -> None:
    """A parent that waits for a child goes on in another process, and its child is not begun twice."""

    @workflow
    async def parent(ctx: Context) -> str:
        first = await ctx.child(gated, "first")
        return first + await ctx.child(gated, "second")

    async with lab.open([parent, gated], [gates]) as engine:
        run = await engine.start(parent, id=lab.id("run"))
        gates.open("first")
        await gates.reached("second")
    gates.open("second")
    async with lab.open([parent, gated], [gates]) as engine:
        async with asyncio.timeout(30):
            assert await (await engine.get(run.id)).result() == "firstsecond"
    assert gates.calls == ["first", "second", "second"]


async def test_a_child_that_ends_while_its_parent_waits_long_is_heard(lab: Lab) -> None:
    """A parent that has nothing to do for a long time hears of its child at once."""

    @workflow
    async def parent(ctx: Context) -> str:
        return await ctx.child(asked, id=lab.id("child"))

    async with lab.open([parent, asked]) as engine:
        run = await engine.start(parent, id=lab.id("run"))
        async for event in run.events():
            if event.type is EventType.CHILD_STARTED:
                break
    async with lab.open([parent, asked]) as engine:
        await (await engine.get(lab.id("child"))).signal("answer", "yes")
        async with asyncio.timeout(30):
            assert await (await engine.get(lab.id("run"))).result() == "yes"


async def test_an_id_of_another_run_is_an_error(lab: Lab) -> None:
    """A child cannot take the place of a run that is not its parent's."""

    @workflow
    async def parent(ctx: Context) -> str:
        try:
            await ctx.child(doubled, 1, id=lab.id("taken"))
        except ChildError as error:
            return error.code
        return ""

    async with lab.open([parent, doubled], [double]) as engine:
        await (await engine.start(doubled, 1, id=lab.id("taken"))).result()
        assert await (await engine.start(parent)).result() == "run_conflict"


async def test_one_child_may_be_asked_for_twice(lab: Lab) -> None:
    """The same id is the same run, also at once; everybody who asked is told."""

    @workflow
    async def parent(ctx: Context) -> list[int]:
        twice = await ctx.gather(*[ctx.child(doubled, 4, id=lab.id("child")) for _ in range(2)])
        return [*twice, await ctx.child(doubled, 4, id=lab.id("child"))]

    async with lab.open([parent, doubled], [double]) as engine:
        assert await (await engine.start(parent)).result() == [8, 8, 8]


async def test_an_id_is_taken_for_one_workflow_and_input(lab: Lab) -> None:
    """Who asks for another child under the id of one of his own is told, and not given that one's result."""

    @workflow
    async def parent(ctx: Context) -> list[str]:
        found = [str(await ctx.child(doubled, 1, id=lab.id("child")))]
        for work, number in ((doubled, 2), (parent_of_one, 1)):
            try:
                await ctx.child(work, number, id=lab.id("child"))
            except ChildError as error:
                found.append(error.code)
        return found

    @workflow
    async def parent_of_one(_: Context, number: int) -> int:
        return number

    async with lab.open([parent, parent_of_one, doubled], [double]) as engine:
        assert await (await engine.start(parent)).result() == ["2", "run_conflict", "run_conflict"]


async def test_an_id_that_is_no_text_is_the_codes_own_mistake(lab: Lab) -> None:
    """Half a surrogate pair cannot be written down, so it names no child; nobody waits for one in vain."""

    @workflow
    async def parent(ctx: Context) -> str:
        try:
            await ctx.child(doubled, 1, id="\ud800")
        except ValueError:
            return "refused"
        return ""

    async with lab.open([parent, doubled], [double]) as engine:
        assert await asyncio.wait_for((await engine.start(parent)).result(), 30) == "refused"


async def test_children_have_children(lab: Lab) -> None:
    """Depth has no limit of its own."""

    @workflow
    async def nest(ctx: Context, depth: int) -> int:
        return 1 if depth == 0 else 1 + await ctx.child(nest, depth - 1)

    async with lab.open([nest]) as engine:
        assert await (await engine.start(nest, 20)).result() == 21

# ruff: noqa: ANN401  # values of whatever type are what is tested
"""The engine port: runs from start to end, their ids, and how they are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from orchestrator import Context, step, workflow
from orchestrator.core.errors import ConflictError, NotFoundError, PayloadTooLargeError
from orchestrator.durable.errors import EngineStoppedError, RunFailedError
from orchestrator.durable.payloads import MAX_PAYLOAD_BYTES, PayloadError
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.runs import Status
from support.contract_lab import Gates

if TYPE_CHECKING:
    from support.contract_lab import Lab


class Order(BaseModel):
    """What somebody wants."""

    item: str
    count: int = 1


class Receipt(BaseModel):
    """What somebody gets."""

    order: Order
    total: float


@step
async def price(order: Order, *, each: float = 2.5) -> Receipt:
    """Say what an order costs."""
    return Receipt(order=order, total=order.count * each)


@workflow
async def buy(ctx: Context, order: Order) -> Receipt:
    """Price an order twice: as it is by default, and at a price that depends on the first."""
    first = await ctx.run(price, order)
    return await ctx.run(price, first.order, each=first.total)


@workflow
async def nothing(ctx: Context) -> None:
    """Do nothing."""


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


async def test_a_run_goes_through_its_steps_with_typed_values(lab: Lab) -> None:
    """Models go in and come out, defaults and keyword-only arguments included."""
    async with lab.open([buy], [price]) as engine:
        run = await engine.start(buy, Order(item="tea", count=2))
        assert await run.result() == Receipt(order=Order(item="tea", count=2), total=10.0)


async def test_a_workflow_may_take_no_input_and_give_no_result(lab: Lab) -> None:
    """A run of nothing completes with nothing."""
    async with lab.open([nothing]) as engine:
        run = await engine.start(nothing)
        await run.result()
        assert (await run.describe()).status is Status.COMPLETED


async def test_a_run_knows_which_it_is(lab: Lab) -> None:
    """``ctx.info`` has the run's id and its workflow's type name."""

    @workflow(version=2)
    async def who(ctx: Context) -> tuple[str, str]:
        return ctx.info.run_id, ctx.info.workflow

    async with lab.open([who]) as engine:
        run = await engine.start(who)
        assert await run.result() == (run.id, "who@2")
        assert (await run.describe()).workflow == "who@2"


async def test_two_versions_of_a_workflow_live_side_by_side(lab: Lab) -> None:
    """Each run keeps the version that it began with."""

    @workflow(name="greet")
    async def first(ctx: Context) -> str:
        return "one"

    @workflow(name="greet", version=2)
    async def second(ctx: Context) -> str:
        return "two"

    async with lab.open([first, second]) as engine:
        assert await (await engine.start(first)).result() == "one"
        assert await (await engine.start(second)).result() == "two"


async def test_a_run_says_whose_it_is_and_when_it_ended(lab: Lab) -> None:
    """Owner, tags and times are kept with the run."""
    async with lab.open([echo]) as engine:
        run = await engine.start(echo, "hi", owner="ann", tags={"topic": "tea"})
        await run.result()
        info = await run.describe()
        assert (info.id, info.workflow, info.status) == (run.id, "echo", Status.COMPLETED)
        assert (info.owner, dict(info.tags)) == ("ann", {"topic": "tea"})
        assert info.closed_at is not None
        assert info.created_at <= info.closed_at
        assert info.created_at.tzinfo is not None


async def test_a_run_that_works_is_open(lab: Lab, gates: Gates) -> None:
    """Until it has ended, a run is running."""

    @workflow
    async def held(ctx: Context) -> str:
        return await ctx.run(Gates.wait, "gate")

    async with lab.open([held], [gates]) as engine:
        run = await engine.start(held)
        await gates.reached("gate")
        info = await run.describe()
        assert (info.status, info.closed_at) == (Status.RUNNING, None)
        gates.open("gate")
        assert await run.result() == "gate"


async def test_the_same_id_finds_the_same_run(lab: Lab, gates: Gates) -> None:
    """Starting again with the same input gives the run that is there, open or ended; nothing runs twice."""

    @workflow
    async def held(ctx: Context, name: str) -> str:
        return await ctx.run(Gates.wait, name)

    async with lab.open([held], [gates]) as engine:
        first = await engine.start(held, "gate", id=lab.id("held-1"))
        second = await engine.start(held, "gate", id=lab.id("held-1"))
        gates.open("gate")
        assert first.id == second.id == lab.id("held-1")
        assert [await first.result(), await second.result()] == ["gate", "gate"]
        third = await engine.start(held, "gate", id=lab.id("held-1"))
        assert await third.result() == "gate"
        assert gates.calls == ["gate"]


async def test_an_id_belongs_to_one_workflow_and_input(lab: Lab) -> None:
    """Another input, or another workflow, under an id that is taken is a conflict."""
    async with lab.open([echo, nothing]) as engine:
        await engine.start(echo, "one", id=lab.id("taken"))
        with pytest.raises(ConflictError, match="taken"):
            await engine.start(echo, "two", id=lab.id("taken"))
        with pytest.raises(ConflictError, match="taken"):
            await engine.start(nothing, id=lab.id("taken"))


async def test_a_run_is_found_by_its_id(lab: Lab) -> None:
    """``get`` gives a handle that knows the result's type."""
    async with lab.open([buy], [price]) as engine:
        started = await engine.start(buy, Order(item="tea"))
        found = await engine.get(started.id)
        assert isinstance(await found.result(), Receipt)


async def test_an_unknown_id_is_not_found(lab: Lab) -> None:
    """``get`` says so, and names the id."""
    async with lab.open([nothing]) as engine:
        with pytest.raises(NotFoundError, match="no-such-run"):
            await engine.get("no-such-run")


async def test_an_error_in_workflow_code_fails_the_run(lab: Lab) -> None:
    """The run's failure has the exception's type, message and details."""

    class OutOfTeaError(Exception):
        def __init__(self, message: str) -> None:
            super().__init__(message)
            self.details = {"cups": 3}

    @workflow
    async def brew(ctx: Context) -> None:
        raise OutOfTeaError("no tea left")

    async with lab.open([brew]) as engine:
        run = await engine.start(brew)
        with pytest.raises(RunFailedError, match="OutOfTeaError: no tea left") as caught:
            await run.result()
        failure = caught.value.failure
        assert (failure.type, failure.code, failure.message) == ("OutOfTeaError", "error", "no tea left")
        assert failure.details == {"cups": 3}
        assert "brew" in failure.trace
        info = await run.describe()
        assert info.status is Status.FAILED
        assert "no tea left" in info.reason


async def test_an_unregistered_step_fails_the_run_and_says_what_to_do(lab: Lab) -> None:
    """The sentence names the step and where to add it."""
    async with lab.open([buy]) as engine:
        run = await engine.start(buy, Order(item="tea"))
        with pytest.raises(RunFailedError, match=r"no step 'price' was given to this engine.*steps=\[…\]"):
            await run.result()


async def test_an_unregistered_workflow_is_refused(lab: Lab) -> None:
    """An engine starts only workflows that it was given."""
    async with lab.open([nothing]) as engine:
        with pytest.raises(NotRegisteredError, match="no workflow 'echo'"):
            await engine.start(echo, "hi")


async def test_a_closed_engine_starts_nothing(lab: Lab) -> None:
    """After its end, and before its beginning, an engine says that it is not running."""
    async with lab.open([nothing]) as engine:
        await (await engine.start(nothing)).result()
    with pytest.raises(EngineStoppedError):
        await engine.start(nothing)


async def test_an_input_that_is_too_large_is_refused_at_once(lab: Lab) -> None:
    """No run is left behind, and the message says what to do."""
    async with lab.open([echo]) as engine:
        with pytest.raises(PayloadTooLargeError, match="pass a reference"):
            await engine.start(echo, "x" * MAX_PAYLOAD_BYTES, id=lab.id("large"))
        with pytest.raises(NotFoundError):
            await engine.get(lab.id("large"))


async def test_an_input_of_another_type_is_refused_at_once(lab: Lab) -> None:
    """No run is left behind."""
    async with lab.open([buy], [price]) as engine:
        with pytest.raises(PayloadError, match="the input of buy"):
            await engine.start(buy, {"item": 3}, id=lab.id("wrong"))  # type: ignore[misc]  # what is tested
        with pytest.raises(NotFoundError):
            await engine.get(lab.id("wrong"))


async def test_a_finished_run_is_forgotten_on_request(lab: Lab) -> None:
    """After ``delete`` its id is free for another input."""
    async with lab.open([echo]) as engine:
        run = await engine.start(echo, "one", id=lab.id("again"))
        await run.result()
        await engine.delete(lab.id("again"))
        with pytest.raises(NotFoundError):
            await engine.get(lab.id("again"))
        assert await (await engine.start(echo, "two", id=lab.id("again"))).result() == "two"


async def test_an_open_run_is_not_deleted(lab: Lab, gates: Gates) -> None:
    """It must have ended first."""

    @workflow
    async def held(ctx: Context) -> str:
        return await ctx.run(Gates.wait, "gate")

    async with lab.open([held], [gates]) as engine:
        run = await engine.start(held)
        await gates.reached("gate")
        with pytest.raises(ConflictError):
            await engine.delete(run.id)
        gates.open("gate")
        assert await run.result() == "gate"


async def test_deleting_an_unknown_run_says_that_there_is_none(lab: Lab) -> None:
    """As ``get`` does."""
    async with lab.open([nothing]) as engine:
        with pytest.raises(NotFoundError):
            await engine.delete("no-such-run")


async def test_runs_are_listed_newest_first_and_by_page(lab: Lab) -> None:
    """``before`` continues after the last id of the page before, without gap or repeat."""
    async with lab.open([echo]) as engine:
        started = [await engine.start(echo, str(number)) for number in range(5)]
        for run in started:
            await run.result()
        newest_first = [run.id for run in reversed(started)]
        assert await lab.listed(engine, newest_first) == newest_first
        first = [info.id for info in await engine.list(limit=2)]
        second = [info.id for info in await engine.list(limit=2, before=first[-1])]
        third = [info.id for info in await engine.list(limit=2, before=second[-1])]
        assert [first, second, third] == [newest_first[:2], newest_first[2:4], newest_first[4:]]
        with pytest.raises(NotFoundError, match="nobody"):
            await engine.list(before="nobody")


async def test_runs_are_listed_by_what_they_are(lab: Lab, gates: Gates) -> None:
    """Status, workflow, owner and tags each narrow the list, and together."""

    @workflow
    async def held(ctx: Context) -> str:
        return await ctx.run(Gates.wait, "gate")

    async with lab.open([echo, held], [gates]) as engine:
        done = await engine.start(echo, "hi", owner="ann", tags={"topic": "tea", "size": "big"})
        other = await engine.start(echo, "hi", owner="bob", tags={"topic": "tea"})
        open_one = await engine.start(held, owner="ann")
        await done.result()
        await other.result()
        await gates.reached("gate")

        async def found(wanted: set[str], **by: Any) -> bool:
            return set(await lab.listed(engine, wanted, **by)) == wanted

        assert await found({done.id, other.id, open_one.id})
        assert await found({done.id, other.id}, status=[Status.COMPLETED])
        assert await found({open_one.id}, status=[Status.RUNNING, Status.FAILED])
        assert await found({open_one.id}, workflow="held")
        assert await found({done.id, open_one.id}, owner="ann")
        assert await found({done.id, other.id}, tags={"topic": "tea"})
        assert await found({done.id}, tags={"topic": "tea", "size": "big"})
        assert await found(set(), owner="bob", workflow="held")
        gates.open("gate")
        await open_one.result()

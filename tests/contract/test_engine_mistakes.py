"""The engine port: mistakes that people make at first are told in words that say what is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, step, workflow
from orchestrator.core.errors import InvalidInputError
from orchestrator.durable.errors import RunFailedError
from orchestrator.durable.payloads import PayloadError

if TYPE_CHECKING:
    from support.contract_lab import Lab


@step
async def double(number: int) -> int:
    """Give twice the number."""
    return 2 * number


async def a_function(number: int) -> int:
    """Be neither a step nor a workflow."""
    return number


# What type checkers would refuse, for those who use none.
plain: Any = a_function
text: Any = "secret"


@workflow
async def takes_number(ctx: Context, number: int) -> int:
    """Do the right thing."""
    return await ctx.run(double, number)


@workflow
async def mistaken(ctx: Context, how: str) -> Any:  # noqa: ANN401  # a coroutine, by mistake
    """Do one of the wrong things."""
    not_awaited: Any = ctx.run(double, 1)
    match how:
        case "runs a function":
            return await ctx.run(plain, 1)
        case "undoes by a function":
            return ctx.compensate(plain, 1)
        case "runs with text":
            return await ctx.run(double, text)
        case "hands on what it does not await":
            return await ctx.run(double, not_awaited)
        case _:
            return not_awaited


TOLD = {
    "runs a function": r"ctx\.run\(<function a_function .*that is no step. Put @step on the function",
    "undoes by a function": r"ctx\.compensate\(<function a_function .*that is no step",
    "runs with text": "arguments of double cannot be recorded: number: Input should be a valid integer$",
    "hands on what it does not await": "arguments of double cannot be recorded: it was not awaited",
    "does not await": "the result of mistaken cannot be recorded: it was not awaited; write `await`",
}


async def test_a_run_that_fails_by_a_slip_says_how_it_is_mended(lab: Lab) -> None:
    """The failure names the operation or the argument, not what tripped over it."""
    async with lab.open([mistaken], [double]) as engine:
        runs = {how: await engine.start(mistaken, how) for how in TOLD}
        for how, told in TOLD.items():
            with pytest.raises(RunFailedError, match=told):
                await runs[how].result()


async def test_what_cannot_be_started_is_refused_by_name(lab: Lab) -> None:
    """A function without @workflow, and an input of another type; the input itself is not repeated."""
    async with lab.open([takes_number], [double]) as engine:
        with pytest.raises(
            TypeError, match=r"engine.start\(<function a_function .*Put @workflow on the function"
        ):
            await engine.start(plain, 1)
        with pytest.raises(PayloadError) as refused:
            await engine.start(takes_number, text)
    told = "the input of takes_number cannot be recorded: value: Input should be a valid integer"
    assert refused.value.message == told


@workflow
async def listening(ctx: Context) -> str:
    """Wait for a signal."""
    return await ctx.receive("go", str)


async def test_names_of_the_engines_own_are_refused(lab: Lab) -> None:
    """A cluster has workflows and signals of its own, which nobody is to meet by accident."""
    async with lab.open([listening]) as engine:
        with pytest.raises(InvalidInputError, match="run 'orchestrator:mine': names that begin"):
            await engine.start(listening, id="orchestrator:mine")
        run = await engine.start(listening, id=lab.id("listening"))
        with pytest.raises(InvalidInputError, match="signal 'orchestrator:pause': names that begin"):
            await run.signal("orchestrator:pause")
        await run.signal("go", "there")
        assert await run.result() == "there"


def test_no_workflow_or_step_takes_such_a_name() -> None:
    """It is said where they are defined."""
    with pytest.raises(InvalidInputError, match="workflow 'orchestrator:gate'"):
        workflow(name="orchestrator:gate")(listening.function)
    with pytest.raises(InvalidInputError, match="step 'orchestrator:ask'"):
        step(name="orchestrator:ask")(a_function)

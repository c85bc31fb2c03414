# ruff: noqa: ANN401  # values of whatever type are what is tested
"""The engine port: the values that cross between workflows and steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, step, workflow
from orchestrator.core.errors import PayloadTooLargeError
from orchestrator.durable.errors import RunFailedError, StepError
from orchestrator.durable.payloads import MAX_PAYLOAD_BYTES
from support.contract_lab import Gates

if TYPE_CHECKING:
    from support.contract_lab import Lab


async def test_values_that_json_changes_are_the_same_live_and_replayed(lab: Lab, gates: Gates) -> None:
    """A workflow gets an untyped result as JSON reads it at once, so a replay takes the same way."""
    seen: list[Any] = []

    @step
    async def odd() -> Any:
        return {"pair": (1, 2), "keys": {1: "one"}, "number": math.nan}

    @step
    async def typed() -> dict[int, tuple[int, str]]:
        return {1: (1, "one")}

    @workflow
    async def look(ctx: Context) -> Any:
        values = [await ctx.run(odd), await ctx.run(typed)]
        seen.append(values)
        await ctx.run(Gates.wait, "gate")
        return values

    expected = [{"pair": [1, 2], "keys": {"1": "one"}, "number": None}, {1: (1, "one")}]
    async with lab.open([look], [odd, typed, gates]) as engine:
        run = await engine.start(look)
        await gates.reached("gate")
    async with lab.open([look], [odd, typed, gates]) as engine:
        gates.open("gate")
        await (await engine.get(run.id)).result()
    assert len(seen) > 1
    assert all(values == expected for values in seen)


async def test_a_result_without_a_json_form_fails_its_step_for_good(lab: Lab) -> None:
    """It is not tried again, since it would not get better, and the step is named."""
    calls: list[str] = []

    @step
    async def unspeakable() -> Any:
        calls.append("called")
        return object()

    @workflow
    async def ask(ctx: Context) -> str:
        try:
            await ctx.run(unspeakable)
        except StepError as error:
            return f"{error.type} {error.code}"
        return "nothing raised"

    async with lab.open([ask], [unspeakable]) as engine:
        assert await (await engine.start(ask)).result() == "PayloadError payload"
    assert calls == ["called"]


async def test_a_result_of_another_type_than_declared_fails_its_step(lab: Lab) -> None:
    """What a replay could not read is not recorded."""

    @step
    async def number() -> float:
        return math.nan

    @workflow
    async def ask(ctx: Context) -> float:
        return await ctx.run(number)

    async with lab.open([ask], [number]) as engine:
        with pytest.raises(RunFailedError, match="PayloadError"):
            await (await engine.start(ask)).result()


async def test_a_result_of_the_run_without_a_json_form_fails_the_run(lab: Lab) -> None:
    """The failure says what was wrong."""

    @workflow
    async def ask(ctx: Context) -> Any:
        return object()

    async with lab.open([ask]) as engine:
        with pytest.raises(RunFailedError, match="PayloadError"):
            await (await engine.start(ask)).result()


async def test_arguments_and_results_that_are_too_large_fail_at_once(lab: Lab) -> None:
    """Neither is tried again."""
    calls: list[int] = []

    @step
    async def grow(text: str, times: int) -> str:
        calls.append(times)
        return text * times

    @workflow
    async def large(ctx: Context, where: str) -> str:
        try:
            if where == "argument":
                await ctx.run(grow, "x" * (MAX_PAYLOAD_BYTES + 1), 1)
            else:
                await ctx.run(grow, "x", MAX_PAYLOAD_BYTES + 1)
        except (PayloadTooLargeError, StepError) as error:
            return error.code
        return "nothing raised"

    async with lab.open([large], [grow]) as engine:
        assert await (await engine.start(large, "argument")).result() == "payload_too_large"
        assert calls == []
        assert await (await engine.start(large, "result")).result() == "payload_too_large"
        assert calls == [MAX_PAYLOAD_BYTES + 1]

"""The engine port: values and failures of unusual size and kind cross whole, live and after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, StepError, progress, step, workflow
from orchestrator.durable.runs import EventType
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from support.contract_lab import Lab

LARGE = 300 * 1024
VERY_LARGE = 5 * 1024 * 1024


@step
async def turn(text: str) -> str:
    """Give the text the other way round."""
    return text[::-1]


@step
async def show(text: str) -> None:
    """Show the text to watchers."""
    progress(text)


@workflow
async def pass_on(ctx: Context, text: str) -> list[str]:
    """Have a text cross in every direction."""
    turned = await ctx.run(turn, text)
    letter = await ctx.receive("letter", str)
    await ctx.run(Gates.wait, "gate")
    return [turned, letter]


@workflow
async def tell(ctx: Context, text: str) -> None:
    """Have watchers see a text."""
    await ctx.run(show, text)
    ctx.publish("told", text)


@workflow
async def endless(ctx: Context, round_: int) -> str:
    """Have a large value in each of two histories, and one that comes from a child."""
    if round_ == 1:
        await ctx.run(turn, "first " * LARGE)
        ctx.continue_as(2)
    return (await ctx.child(outer, "x" * LARGE))[:10] + await ctx.run(turn, "second")


@workflow
async def outer(ctx: Context, text: str) -> str:
    """Give a large value back to a parent."""
    return text


def text_of(size: int) -> str:
    """A text of that size whose parts differ, some of them not ASCII."""
    return "".join(f"{number:>9}é" for number in range(size // 10))[:size]


async def _crosses(lab: Lab, gates: Gates, size: int) -> None:
    text, letter = text_of(size), text_of(size)[::-1]
    async with lab.open([pass_on], [turn, gates]) as engine:
        run = await engine.start(pass_on, text, id=lab.id("large"))
        await run.signal("letter", letter)
        await gates.reached("gate")
    gates.open("gate")
    async with lab.open([pass_on], [turn, gates]) as engine:
        again = await engine.start(pass_on, text, id=lab.id("large"))
        assert await again.result() == [text[::-1], letter]


async def test_large_values_cross_whole_and_survive_a_restart(lab: Lab, gates: Gates) -> None:
    """As input, result and signal; the same input is recognised as the same."""
    await _crosses(lab, gates, LARGE)


async def test_values_of_several_megabytes_cross_likewise(lab: Lab, gates: Gates) -> None:
    """Where the engine says that it takes them."""
    await _crosses(lab, gates, VERY_LARGE)


@pytest.mark.parametrize("size", [LARGE, VERY_LARGE])
async def test_watchers_see_large_values(lab: Lab, size: int) -> None:
    """As progress and as published events, live and later."""
    text = text_of(size)
    async with lab.open([tell], [show]) as engine:
        run = await engine.start(tell, text)
        live = await all_events(run)
    shown = [event.data for event in live if event.type in {EventType.STEP_PROGRESS, EventType.PUBLISHED}]
    assert shown == [text, text]
    async with lab.open([tell], [show]) as engine:
        assert await all_events(await engine.get(run.id)) == live


async def test_large_values_cross_between_runs_and_histories(lab: Lab) -> None:
    """From a child to its parent, and in a history that is left behind."""
    async with lab.open([endless, outer], [turn]) as engine:
        assert await (await engine.start(endless, 1)).result() == "x" * 10 + "dnoces"


class Mute(Exception):  # noqa: N818  # a name for what it is
    """Nothing can be got out of it."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __reduce__(self) -> Any:  # noqa: ANN401  # it has no pickle
        raise RuntimeError("no pickle")


def _unusual(kind: str) -> BaseException:
    match kind:
        case "mute":
            return Mute()
        case "group":
            return ExceptionGroup("several", [ValueError("one"), Mute()])
        case "huge":
            return ValueError("x" * 5_000_000)
        case "surrogate":
            return ValueError("half \ud800")
    error = OSError("carries")
    error.lock = open  # type: ignore[attr-defined]  # others may hang anything on an exception
    error.__notes__ = ["a note", Mute()]  # type: ignore[list-item]  # likewise
    return error


@step
async def fail(kind: str) -> None:
    """Fail in an unusual way."""
    raise _unusual(kind)


@workflow
async def survive(ctx: Context, kind: str) -> list[str]:
    """Tell what became of it."""
    try:
        await ctx.run(fail, kind)
    except StepError as error:
        return [error.type, error.message[:20]]
    return []


TOLD = {
    "mute": ["Mute", "Mute"],
    "group": ["ExceptionGroup", "several (2 sub-excep"],
    "huge": ["ValueError", "x" * 20],
    "surrogate": ["ValueError", "half ?"],
    "carrying": ["OSError", "carries"],
}


async def test_a_step_may_fail_with_anything(lab: Lab) -> None:
    """Its type and message reach the workflow, whatever else it carries."""
    async with lab.open([survive], [fail]) as engine:
        runs = {kind: await engine.start(survive, kind) for kind in TOLD}
        assert {kind: await run.result() for kind, run in runs.items()} == TOLD

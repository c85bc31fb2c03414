"""Workflows whose histories are kept in ``tests/durable/histories``. They stay as they are.

A change of the engine that breaks their histories breaks runs that are in flight somewhere. Who adds a
workflow records it with ``scripts/record_histories.py``; nobody records an old one anew.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator import Context, Limit, Retry, step, workflow
from orchestrator.core.errors import RetryableError, TerminalError
from orchestrator.durable.attempt import step_info
from orchestrator.durable.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.durable.workflows import Workflow

SHORT_S = 0.05

calls: list[str] = []


@step
async def look_up(topic: str) -> str:
    """Give facts."""
    calls.append(f"look_up {topic}")
    return f"facts about {topic}"


@step(retry=Retry(attempts=3, backoff=(SHORT_S,)))
async def unsteady(topic: str) -> str:
    """Succeed at the second attempt."""
    calls.append(f"unsteady {topic}")
    if step_info().attempt == 1:
        raise RetryableError("not yet")
    return f"at last {topic}"


@step
async def refuse(topic: str) -> str:
    """Fail for good."""
    calls.append(f"refuse {topic}")
    raise TerminalError(f"no {topic} today")


@step
async def put_back(topic: str) -> None:
    """Undo."""
    calls.append(f"put_back {topic}")


STEPS: Sequence[object] = (look_up, unsteady, refuse, put_back)


@workflow
async def many_things(ctx: Context, topic: str) -> list[Any]:
    """Operations of every kind that a run may have by itself."""
    begun = ctx.now()
    first = await ctx.run(look_up, topic)
    ctx.publish("found", {"facts": first})

    async def branch(name: str) -> str:
        await ctx.sleep(SHORT_S)
        return await ctx.run(unsteady, name)

    both = await ctx.gather(branch("left"), branch("right"))
    mapped = await ctx.map(look_up, ["one", "two", "three"], at_once=2)
    ctx.compensate(put_back, topic)
    try:
        await ctx.receive("never", timeout=SHORT_S)
    except TimeoutError:
        ctx.publish("nobody came")
    try:
        await ctx.run(refuse, topic)
    except StepError as error:
        ctx.publish("refused", error.message)
    drawn = [ctx.random.randint(0, 10**9), str(ctx.uuid())]
    answer = await ctx.receive("go", str)
    again = [ctx.random.randint(0, 10**9), str(ctx.uuid())]
    last = await ctx.run(look_up, answer)
    return [first, *both, *mapped, len(drawn + again), ctx.now() >= begun, last]


@workflow
async def plain_waits(ctx: Context) -> list[str]:
    """What asyncio itself offers, between operations."""
    said = []
    await asyncio.sleep(SHORT_S)
    try:
        async with asyncio.timeout(SHORT_S):
            await ctx.receive("never")
    except TimeoutError:
        said.append("timed out")
    slow = asyncio.ensure_future(ctx.receive("never too"))
    quick = asyncio.ensure_future(ctx.run(look_up, "quick"))
    done, _ = await asyncio.wait([slow, quick], return_when=asyncio.FIRST_COMPLETED)
    said.extend(task.result() for task in done)
    slow.cancel()
    said.append(await ctx.receive("go", str))
    said.append(await ctx.run(look_up, said[-1]))
    return said


@workflow
async def little_one(ctx: Context, topic: str) -> str:
    """A child that waits."""
    found = await ctx.run(look_up, topic)
    return f"{found}, {await ctx.receive('go', str)}"


@workflow
async def with_children(ctx: Context, topic: str) -> list[str]:
    """One child has ended, another one has not."""
    ended = await ctx.child(look_once, topic)
    open_one = await ctx.child(little_one, topic, id=f"{ctx.info.run_id}-child")
    return [ended, open_one, await ctx.run(look_up, "after")]


@workflow
async def look_once(ctx: Context, topic: str) -> str:
    """A child that ends by itself."""
    return await ctx.run(look_up, topic)


@dataclass(frozen=True)
class Turn:
    """Which round of an endless workflow."""

    number: int


@workflow
async def rounds(ctx: Context, turn: Turn) -> str:
    """Three histories; the last one waits."""
    found = await ctx.run(look_up, f"round {turn.number}")
    if turn.number < 3:
        ctx.continue_as(Turn(turn.number + 1))
    return f"{found}, {await ctx.receive('go', str)}"


@workflow(limits=[Limit(1)])
async def one_by_one(ctx: Context, topic: str) -> str:
    """The first has the place, the second waits for it."""
    return f"{topic}, {await ctx.receive('go', str)}"


FLOWS: Sequence[Workflow[Any, Any]] = (
    many_things,
    plain_waits,
    little_one,
    with_children,
    look_once,
    rounds,
    one_by_one,
)


@dataclass(frozen=True)
class Started:
    """A run that is recorded: what it is started with, and what it gives once every wait has its signal."""

    id: str
    flow: Workflow[Any, Any]
    input: Any
    gives: Any
    calls: tuple[str, ...]
    """What it does after it was recorded."""
    waits: str = ""
    """The run that waits for the signal, if it is another one."""


RUNS = (
    Started(
        "many",
        many_things,
        "tides",
        [
            "facts about tides",
            "at last left",
            "at last right",
            "facts about one",
            "facts about two",
            "facts about three",
            4,
            True,
            "facts about now",
        ],
        ("look_up now",),
    ),
    Started(
        "plain",
        plain_waits,
        None,
        ["timed out", "facts about quick", "now", "facts about now"],
        ("look_up now",),
    ),
    Started(
        "family",
        with_children,
        "tides",
        ["facts about tides", "facts about tides, now", "facts about after"],
        ("look_up after",),
        waits="family-child",
    ),
    Started("rounds", rounds, Turn(1), "facts about round 3, now", ()),
    Started("first", one_by_one, "a", "a, now", ()),
    Started("second", one_by_one, "b", "b, now", ()),
)

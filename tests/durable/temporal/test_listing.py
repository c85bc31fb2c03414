"""Lists of runs on Temporal: newest first, whatever order the server has."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.core.errors import NotFoundError
from orchestrator.durable.runs import Status
from orchestrator.durable.temporal import listing
from support.contract_lab import PAUSES_S, Gates, Lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


@workflow
async def hear(ctx: Context) -> str:
    """Wait for a word."""
    return await ctx.receive("word", str)


@workflow
async def held(ctx: Context) -> str:
    """Wait in a step."""
    return await ctx.run(Gates.wait, "gate")


@pytest.fixture
def lab(temporal_server: TemporalServer) -> Lab:
    """Engines on one task queue."""
    queue = f"listing-{uuid.uuid4()}"

    @asynccontextmanager
    async def opened(workflows: object, steps: object) -> AsyncIterator[TemporalEngine]:
        engine = TemporalEngine(temporal_server.address, workflows=workflows, steps=steps, task_queue=queue)  # type: ignore[arg-type]  # as the lab gives them
        async with engine:
            yield engine

    return Lab(opened, PAUSES_S)


async def test_windows_narrow_and_widen_until_all_is_found(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many runs in a short time, none in a long one: each is found once, in the order of the starts."""
    for name, few in (("FEW", 1), ("MANY", 2)):
        monkeypatch.setattr(listing, name, few)
    async with lab.open([echo]) as engine:
        started = [await engine.start(echo, str(number)) for number in range(9)]
        for run in reversed(started):
            await run.result()
        newest_first = [run.id for run in reversed(started)]
        assert await lab.listed(engine, newest_first) == newest_first
        assert await lab.listed(engine, newest_first[:4], limit=4) == newest_first[:4]
        rest = await lab.listed(engine, newest_first[4:], before=newest_first[3])
        assert rest == newest_first[4:]


async def test_open_runs_are_found_by_what_they_do(lab: Lab) -> None:
    """The server knows that they are open; the rest is asked of each."""
    gates = Gates()
    async with lab.open([hear, held], [gates]) as engine:
        waiting = await engine.start(hear)
        running = await engine.start(held)
        await gates.reached("gate")
        assert await lab.listed(engine, {waiting.id}, status=[Status.WAITING]) == [waiting.id]
        assert await lab.listed(engine, {running.id}, status=[Status.RUNNING]) == [running.id]
        assert await lab.listed(engine, [], status=[Status.STUCK]) == []
        await waiting.signal("word", "tea")
        gates.open("gate")
        await waiting.result()
        await running.result()


async def test_odd_and_long_tags_find_exactly_their_runs(lab: Lab) -> None:
    """A server's index may ignore case and punctuation, and takes only so many characters."""
    values = ["it's", 'say "x"', "back\\slash", "Tea", "tea", "tea time", "", "ü", "x" * 500, "x" * 501]
    async with lab.open([echo]) as engine:
        runs = {
            value: await engine.start(echo, value, tags={"topic": value}, owner=value) for value in values
        }
        for value, run in runs.items():
            await run.result()
            assert await lab.listed(engine, [run.id], tags={"topic": value}) == [run.id]
            assert await lab.listed(engine, [run.id], owner=value) == [run.id]


async def test_a_deleted_run_is_not_listed(lab: Lab) -> None:
    """Although the server's index has it for a while longer."""
    async with lab.open([echo]) as engine:
        one, two = [await engine.start(echo, text) for text in ("one", "two")]
        await one.result()
        await two.result()
        assert await lab.listed(engine, {one.id, two.id}) == [two.id, one.id]
        await engine.delete(one.id)
        assert [info.id for info in await engine.list()] == [two.id]
        with pytest.raises(NotFoundError):
            await engine.list(before=one.id)

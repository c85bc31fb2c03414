"""The engine port: where the engines differ, as docs/engines.md lists it. Nothing else differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, workflow
from orchestrator.core.errors import InvalidInputError

if TYPE_CHECKING:
    from support.contract_lab import Lab


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


async def test_temporal_takes_two_kilobytes_of_tags(lab: Lab, engine_name: str) -> None:
    """More is refused at the start, with what to do; a file takes any."""
    tags = {f"tag-{number}": "x" * 100 for number in range(50)}
    async with lab.open([echo]) as engine:
        if engine_name.startswith("temporal"):
            with pytest.raises(InvalidInputError, match="Give fewer tags, or shorter ones"):
                await engine.start(echo, "hi", tags=tags)
            return
        run = await engine.start(echo, "hi", tags=tags)
        assert await lab.listed(engine, [run.id], tags=tags) == [run.id]


async def test_a_list_is_of_a_file_or_of_a_task_queue(lab: Lab) -> None:
    """An engine lists the runs that it could work on, and, where its list lags, each of them in the end."""
    async with lab.open([echo]) as engine:
        run = await engine.start(echo, "hi")
        await run.result()
        assert await lab.listed(engine, [run.id]) == [run.id]


async def test_a_time_that_comes_twice_happens_once(lab: Lab, engine_name: str) -> None:
    """The first time in the embedded engine; in Berlin, whose clocks show it, the second time on Temporal."""
    async with lab.open([echo]) as engine:
        schedule = await engine.schedule(
            echo, "hi", id=lab.id("twice"), cron="30 2 * 10 0L", zone="Europe/Berlin"
        )
        next_at = (await schedule.describe()).next_at
        assert next_at is not None
        assert (next_at.hour, next_at.minute) == (1 if engine_name.startswith("temporal") else 0, 30)
        await schedule.delete()


async def test_a_schedule_is_listed_at_once_or_soon(lab: Lab) -> None:
    """Where lists lag, each schedule is there in the end."""
    async with lab.open([echo]) as engine:
        schedule = await engine.schedule(echo, "hi", id=lab.id("listed"), cron="@daily")
        assert await lab.scheduled(engine, [schedule.id]) == [schedule.id]
        await schedule.delete()
        assert await lab.scheduled(engine, []) == []

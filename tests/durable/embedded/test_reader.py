"""Reading a journal file beside the engine that has it open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, EmbeddedEngine, step, workflow
from orchestrator.core.errors import NotFoundError
from orchestrator.durable.embedded import JournalReader
from orchestrator.durable.runs import Status

if TYPE_CHECKING:
    from pathlib import Path


@step
async def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@workflow
async def doubled(ctx: Context, number: int) -> int:
    """Be a child."""
    return await ctx.run(double, number)


@workflow
async def family(ctx: Context) -> int:
    """Have two children, the second of which waits for the first."""
    first = await ctx.child(doubled, 1, id=f"{ctx.info.run_id}-elder")
    return await ctx.child(doubled, first)


async def test_the_children_of_a_run_are_found(tmp_path: Path) -> None:
    """In their order, each with its parent; one that was deleted is left out."""
    path = tmp_path / "runs.db"
    async with EmbeddedEngine(path, workflows=[family, doubled], steps=[double]) as engine:
        await (await engine.start(family, id="one")).result()
        with JournalReader(path) as reader:
            found = [(child.id, child.parent, child.status) for child in reader.children("one")]
            assert found == [("one-elder", "one", Status.COMPLETED), ("one.2", "one", Status.COMPLETED)]
            assert reader.describe("one").parent == ""
            assert reader.children("one.2") == []
            with pytest.raises(NotFoundError, match="no run 'none'"):
                reader.children("none")
            await engine.delete("one-elder")
            assert [child.id for child in reader.children("one")] == ["one.2"]
            await engine.delete("one")
            assert reader.describe("one.2").parent == ""


async def test_a_fork_has_its_own_children_alone(tmp_path: Path) -> None:
    """Its history begins with what another run's children gave; they stay that run's."""
    path = tmp_path / "runs.db"
    async with EmbeddedEngine(path, workflows=[family, doubled], steps=[double]) as engine:
        run = await engine.start(family, id="one")
        await run.result()
        fork = await run.fork(from_step="2", id="two")
        assert await fork.result() == 4
        with JournalReader(path) as reader:
            assert [child.id for child in reader.children("two")] == ["two.2"]
            assert len(reader.children("one")) == 2

"""Deleting runs, and using their ids again at the worst moments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orchestrator import Context, EmbeddedEngine, workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path


@workflow
async def echo(_: Context, text: str) -> str:
    """Give it back."""
    return text


async def test_an_id_is_free_the_moment_its_run_is_gone(tmp_path: Path) -> None:
    """Who starts a run as the delete of its id is committed, before anybody was told, gets a new one."""
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[echo]) as engine:
        await (await engine.start(echo, "old", id="a")).result()
        starting = at_next_commit(engine, lambda: engine.start(echo, "new", id="a"))
        await engine.delete("a")
        assert await (await starting).result() == "new"


async def test_a_schedule_is_made_the_moment_the_one_before_is_gone(tmp_path: Path) -> None:
    """The same for schedules."""
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[echo]) as engine:
        schedule = await engine.schedule(echo, "old", id="s", cron="0 0 * * *")
        making = at_next_commit(engine, lambda: engine.schedule(echo, "new", id="s", cron="0 1 * * *"))
        await schedule.delete()
        assert (await (await making).describe()).cron == "0 1 * * *"


async def test_a_stream_and_a_group_are_made_the_moment_those_before_are_gone(tmp_path: Path) -> None:
    """The same for streams and their groups."""
    async with EmbeddedEngine(tmp_path / "runs.db") as engine:
        streams = engine.streams
        await streams.append("s", "kind", b"old")
        group = await streams.group("s", "g")
        opening = at_next_commit(engine, lambda: streams.group("s", "g"))
        await group.delete()
        assert await (await opening).lag() == 1
        appending = at_next_commit(engine, lambda: streams.append("s", "kind", b"new"))
        await streams.delete("s")
        assert await appending == 1
        assert [entry.data for entry in await streams.read("s")] == [b"new"]


async def test_what_is_added_to_a_stream_after_a_delete_that_was_given_up_is_kept(tmp_path: Path) -> None:
    """A delete goes on without the one who asked for it; what others add afterwards is not lost with it."""
    async with EmbeddedEngine(tmp_path / "runs.db") as engine:
        streams = engine.streams
        await streams.append("s", "kind", b"old")
        deleting = asyncio.ensure_future(streams.delete("s"))
        await asyncio.sleep(0)
        deleting.cancel()
        await asyncio.gather(deleting, return_exceptions=True)
        assert await streams.append("s", "kind", b"new") == 1
        assert [entry.data for entry in await streams.read("s")] == [b"new"]


def at_next_commit(
    engine: EmbeddedEngine, begin: Callable[[], Coroutine[Any, Any, Any]]
) -> asyncio.Future[Any]:
    """What ``begin`` gives, begun when the next group is on the disk and nobody else knows it yet."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()

    async def work() -> None:
        result.set_result(await begin())

    def on_commit(_: object) -> None:
        if not tasks:
            tasks.append(loop.create_task(work()))

    tasks: list[asyncio.Task[None]] = []
    assert engine._services is not None
    engine._services.journal.listen(on_commit, lambda _: None)
    return result

"""What is on its way to the disk: waiting for its end never stops the loop, and needs nobody who waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.journal import Journal, Statement, UnderWay

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from orchestrator.journal import Group

ADD = Statement(0, "INSERT INTO streams (number, name, owner) VALUES {rows}", 3)


async def test_who_asks_between_a_commit_and_its_news_waits_for_nothing(tmp_path: Path) -> None:
    """A change is over with its commit, also for who asks before those who wait for it are told."""
    journal = Journal(tmp_path / "journal.db")
    under_way: UnderWay[str] = UnderWay(journal)
    asked: list[asyncio.Task[bool]] = []

    def ask(_: Group) -> None:
        asked.append(asyncio.ensure_future(under_way.over("a")))

    journal.listen(ask, lambda _: None)
    under_way.add("a", journal.stage(ADD, (1, "a", "")))
    journal.flush()
    assert await under_way.over("a")
    assert [await task for task in asked] == [False]
    await journal.close()


async def test_a_change_is_over_though_nobody_waits_any_more(tmp_path: Path) -> None:
    """Who began a change and went away leaves it under way, for those who need its name."""
    journal = Journal(tmp_path / "journal.db")
    under_way: UnderWay[str] = UnderWay(journal)
    under_way.add("a", journal.stage(ADD, (1, "a", "")))
    journal.flush()
    await _given_up(under_way.over("a"))
    assert await under_way.over("a")
    assert not await under_way.over("a")
    await journal.close()


async def _given_up(work: Coroutine[object, object, object]) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""Files of every earlier version: they become current, keep all they hold, and their open runs go on."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from orchestrator import Context, EmbeddedEngine, Retry, step, workflow
from orchestrator.durable.runs import EventType, Status
from orchestrator.journal import Journal
from orchestrator.journal.schema import MIGRATIONS
from orchestrator.testing import BEGINNING, ManualClock
from support.contract_lab import all_events

FILES = Path(__file__).parent / "files"
DAY_S = 86_400.0

calls: list[str] = []


@step
async def fetch(url: str) -> str:
    """What a run of the old file completed before."""
    calls.append(url)
    return f"page of {url}"


@step(retry=Retry(attempts=3, backoff=(3600.0,)))
async def flaky(n: int) -> int:
    """What failed once in the old file."""
    calls.append(f"flaky {n}")
    return n


@workflow
async def approve(ctx: Context, url: str) -> str:
    """Waits for a signal in the old file."""
    page = await ctx.run(fetch, url)
    ctx.publish("read", {"page": page})
    return f"{page}: {await ctx.receive('approve', str)}"


@workflow
async def rest(ctx: Context, seconds: float) -> str:
    """Sleeps in the old file."""
    await ctx.sleep(seconds)
    return await ctx.run(fetch, "after")


@workflow
async def retrying(ctx: Context, n: int) -> int:
    """Waits for its second attempt in the old file."""
    return await ctx.run(flaky, n)


@workflow
async def done(ctx: Context, url: str) -> str:
    """Had completed in the old file."""
    return "".join(await ctx.gather(ctx.run(fetch, url), ctx.run(fetch, url + "/b")))


def old_file(folder: Path, version: int) -> Path:
    """A file as the release of that version left it: one run of each kind, and a stream."""
    path = folder / "runs.db"
    connection = sqlite3.connect(path)
    connection.executescript((FILES / f"v{version}.sql").read_text())
    connection.close()
    return path


def test_every_version_has_a_file() -> None:
    """Who adds a version adds a file of the one before, so that no upgrade is untested."""
    assert [(FILES / f"v{version}.sql").exists() for version in range(1, len(MIGRATIONS))] == [True] * (
        len(MIGRATIONS) - 1
    )


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_open_runs_of_an_old_file_go_on(tmp_path: Path, version: int) -> None:
    """What waits for a signal, a time or a retry in an old file goes on, and nothing completed runs again."""
    calls.clear()
    clock = ManualClock(BEGINNING)
    engine = EmbeddedEngine(
        old_file(tmp_path, version),
        workflows=[approve, rest, retrying, done],
        steps=[fetch, flaky],
        clock=clock,
    )
    async with engine:
        waiting = await engine.get("approve")
        await waiting.signal("approve", "yes")
        assert await waiting.result() == "page of y: yes"
        assert calls == []
        clock.jump(DAY_S)
        async with asyncio.timeout(30):
            assert await (await engine.get("rest")).result() == "page of after"
            assert await (await engine.get("retrying")).result() == 1
        assert sorted(calls) == ["after", "flaky 1"]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_an_old_file_keeps_what_it_holds(tmp_path: Path, version: int) -> None:
    """Ended runs with their facts and results, their ids, and other streams are read as before."""
    async with EmbeddedEngine(
        old_file(tmp_path, version), workflows=[done, approve], steps=[fetch]
    ) as engine:
        run = await engine.start(done, "x", id="done")
        assert await run.result() == "page of xpage of x/b"
        info = await run.describe()
        assert (info.status, info.owner, info.tags) == (Status.COMPLETED, "ada", {"kind": "old"})
        assert [event.type for event in await all_events(run)][-1] is EventType.RUN_COMPLETED
        assert (await (await engine.get("cancelled")).describe()).status is Status.CANCELLED
        assert [entry.data for entry in await engine.streams.read("news")] == [b'{"n":1}']


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_an_upgraded_file_has_the_tables_of_a_new_one(tmp_path: Path, version: int) -> None:
    """However a file came to be current, it has the same tables and indexes; the old one is kept."""
    path = old_file(tmp_path, version)
    new = tmp_path / "new.db"
    for each in (path, new):
        await Journal(each).close()
    assert schema(path) == schema(new)
    assert (tmp_path / f"runs.db.v{version}.backup").exists()


def schema(path: Path) -> dict[str, list[tuple[str, str]]]:
    """The columns of all tables, and the indexes."""
    connection = sqlite3.connect(path)
    names = [
        row[0]
        for row in connection.execute("SELECT name FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    ]
    found = {
        name: [(row[1], row[2]) for row in connection.execute(f"PRAGMA table_info({name})")]  # names of ours
        for name in names
    }
    connection.close()
    return found

"""What ended long ago leaves the journal, whole; what is open stays; the file stops growing."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Context, EmbeddedEngine, progress, step, workflow
from orchestrator.core.errors import NotFoundError
from orchestrator.durable.embedded.housekeeping import pages_of
from orchestrator.durable.embedded.removals import MOST_PAGES, PAGE_BYTES
from orchestrator.durable.runs import EventType, Status
from orchestrator.journal import JournalError
from orchestrator.testing import ManualClock
from support.contract_lab import all_events

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@step
async def say(text: str, times: int = 0) -> str:
    """Say something, in as many parts."""
    for number in range(times):
        progress(f"{number} {text}")
        await asyncio.sleep(0)
    return text


@workflow
async def talk(ctx: Context, text: str) -> str:
    """End at once, having said something."""
    return await ctx.run(say, text, 3)


@workflow
async def rant(ctx: Context, times: int) -> None:
    """Publish as many events."""
    for number in range(times):
        ctx.publish("said", number)


@workflow
async def wait(ctx: Context, text: str) -> str:
    """Say something, and wait for a signal."""
    return await ctx.run(say, text, 3) + await ctx.receive("go", str)


def engine_on(path: Path, clock: ManualClock, **options: Any) -> EmbeddedEngine:  # noqa: ANN401  # options
    """An engine on that file with the workflows of this module."""
    return EmbeddedEngine(path, workflows=[talk, rant, wait], steps=[say], clock=clock, **options)


def rows(path: Path, sql: str) -> list[Any]:
    """What the file says, read beside the engine."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def counts(path: Path) -> dict[str, int]:
    """How many rows the tables have that hold runs."""
    return {
        table: rows(path, f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608  # names of tables
        for table in ("runs", "streams", "entries")
    }


NOTHING = {"runs": 0, "streams": 0, "entries": 0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


async def test_an_ended_run_goes_once_its_time_is_over(path: Path) -> None:
    """Not a moment before, then all of it, without a restart; its id is free again."""
    clock = ManualClock()
    async with engine_on(path, clock, retention=10 * DAY) as engine:
        run = await engine.start(talk, "hello", id="one")
        assert await run.result() == "hello"
        await clock.advance(10 * DAY - HOUR)
        assert await run.result() == "hello"
        await clock.advance(2 * HOUR)
        with pytest.raises(NotFoundError):
            await engine.get("one")
        assert counts(path) == NOTHING
        assert await (await engine.start(talk, "again", id="one")).result() == "again"


async def test_open_runs_stay_for_ever(path: Path) -> None:
    """However old a run is, as long as it has not ended it can go on."""
    clock = ManualClock()
    async with engine_on(path, clock, retention=DAY, most_runs_in_memory=0) as engine:
        waiting = await engine.start(wait, "a")
        await (await engine.start(talk, "b")).result()
        await clock.advance(days=400)
        assert [info.id for info in await engine.list()] == [waiting.id]
        await waiting.signal("go", "!")
        assert await waiting.result() == "a!"


async def test_what_expired_while_nobody_ran_goes_at_the_opening(path: Path) -> None:
    """The opening does not wait for it."""
    clock = ManualClock()
    async with engine_on(path, clock, retention=DAY) as engine:
        for number in range(250):
            await engine.start(talk, "x", id=f"{number}")
        await clock.settle()
    clock.now += 3 * 86_400
    async with engine_on(path, clock, retention=DAY) as engine:
        assert engine.active == 0
        assert counts(path)["runs"] == 250
        await clock.advance(minutes=1)
        assert counts(path) == NOTHING


async def test_without_a_retention_everything_stays(path: Path) -> None:
    """None is for ever, and costs no wake-ups."""
    clock = ManualClock()
    async with engine_on(path, clock, retention=None, progress_retention=None) as engine:
        await (await engine.start(talk, "b")).result()
        before = counts(path)
        asked = clock.asked
        await clock.advance(days=4_000)
        assert counts(path) == before
        assert clock.asked == asked


def test_a_time_before_now_is_no_retention(path: Path) -> None:
    """A slip of the pen does not empty the journal."""
    for option in ("retention", "progress_retention"):
        with pytest.raises(ValueError, match=option):
            engine_on(path, ManualClock(), **{option: -DAY})


async def test_housekeeping_is_no_deadline(path: Path) -> None:
    """Who lets a test's clock run to the next deadline comes to those of the runs."""
    clock = ManualClock()
    async with engine_on(path, clock, retention=DAY) as engine:
        await (await engine.start(talk, "b")).result()
        with pytest.raises(LookupError):
            await clock.advance_to_next()


async def test_it_looks_at_most_once_an_hour(path: Path) -> None:
    """With runs that end all the time, what is due is removed hour by hour."""
    clock = ManualClock()
    async with engine_on(path, clock, retention=timedelta(), progress_retention=None) as engine:
        asked = clock.asked
        for _ in range(60):
            await (await engine.start(talk, "b")).result()
            await clock.advance(minutes=1)
        assert counts(path)["runs"] == 0
        for _ in range(59):
            await (await engine.start(talk, "b")).result()
            await clock.advance(minutes=1)
        assert counts(path)["runs"] == 59
        assert clock.asked - asked <= 3


async def test_progress_goes_before_the_rest(path: Path) -> None:
    """An hour after the end what steps reported is dropped; watchers find their place all the same."""
    clock = ManualClock()
    async with engine_on(path, clock) as engine:
        run = await engine.start(talk, "hello")
        await run.result()
        open_run = await engine.start(wait, "open")
        await clock.advance(minutes=59)
        before = await all_events(run)
        deltas = [event.offset for event in before if event.type is EventType.STEP_PROGRESS]
        assert len(deltas) == 3
        assert [event.offset for event in before] == list(range(1, len(before) + 1))
        await clock.advance(minutes=2)
        left = [event for event in before if event.offset not in deltas]
        assert await all_events(run) == left
        for after in range(before[-1].offset):
            assert await all_events(run, after) == [event for event in left if event.offset > after]
        assert await run.result() == "hello"
        assert [view.status for view in await run.steps()] == [Status.COMPLETED]
        await open_run.signal("go", "!")
        kept = [event.type for event in await all_events(open_run)]
        assert kept.count(EventType.STEP_PROGRESS) == 3


async def test_much_progress_goes_in_slices(path: Path) -> None:
    """More deltas than one commit takes are dropped in several, those of many runs in few."""
    clock = ManualClock()
    async with engine_on(path, clock) as engine:
        await (await engine.start(talk, "before")).result()
        talking = await engine.start(wait, "x" * 10)
        await clock.settle()
        await talking.signal("go", "!")
        await talking.result()
        with sqlite3.connect(path) as file:  # a step that talks for long would take as long
            number = file.execute("SELECT number FROM runs WHERE workflow = 'wait'").fetchone()[0]
            file.executemany(
                "INSERT INTO entries SELECT stream, ?, at, type, key, data FROM entries "
                "WHERE stream = ? AND type = 'step-progress' LIMIT 1",
                [(offset, number) for offset in range(1_000, 1_000 + 3 * MOST_PAGES)],
            )
        file.close()
        await (await engine.start(talk, "after")).result()
        commits = _commits_with(engine, "DELETE FROM entries")
        await clock.advance(2 * HOUR)
        assert rows(path, "SELECT count(*) FROM entries WHERE type = 'step-progress'") == [(0,)]
        assert rows(path, "SELECT sum(deltas) FROM runs") == [(0,)]
        assert counts(path)["runs"] == 3
        assert len(commits) == 4


def _commits_with(engine: EmbeddedEngine, sql: str) -> list[object]:
    """A list that gets what every commit from now on does of that kind."""
    found: list[object] = []
    assert engine._services is not None

    def committed(group: Any) -> None:  # noqa: ANN401  # a Group
        found.extend([group] if any(sql in statement.sql for statement in group.rows) else [])

    engine._services.journal.listen(committed, lambda _: None)
    return found


async def test_a_huge_run_vanishes_at_once_and_goes_in_slices(path: Path) -> None:
    """Its id is free with the first commit; no commit removes more than its share; nothing is left."""
    clock = ManualClock()
    async with engine_on(path, clock, retention=DAY, progress_retention=None) as engine:
        await (await engine.start(rant, 5 * MOST_PAGES, id="huge")).result()
        await (await engine.start(talk, "small", id="small")).result()
        commits = _commits_with(engine, "DELETE FROM entries")
        await clock.advance(2 * DAY)
        assert counts(path) == NOTHING
        assert len(commits) == 7


async def test_a_crash_between_slices_leaves_the_rest_to_the_next_opening(path: Path) -> None:
    """A huge run is gone or there, never half there, wherever the process ends; in the end it is gone."""
    clock = ManualClock()
    async with engine_on(path, clock) as engine:
        await (await engine.start(rant, 3 * MOST_PAGES, id="huge")).result()
    whole = counts(path)["entries"]
    clock.now += 100 * 86_400
    seen = set()
    for cut in range(12):
        writes = iter(range(100))

        def fault(point: str, cut: int = cut, writes: Any = writes) -> None:  # noqa: ANN401
            if point in {"before-write", "after-commit"} and next(writes) == cut:
                raise RuntimeError(point)

        engine = engine_on(path, clock, fault=fault)
        await engine.open()
        try:
            await clock.advance(minutes=1)
        except JournalError:
            pass
        finally:
            await engine.close()
        runs, entries = rows(path, "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM entries)")[0]
        assert runs == 0 or entries == whole
        seen.add((runs, entries))
    async with engine_on(path, clock):
        await clock.advance(minutes=1)
    assert counts(path) == NOTHING
    assert len(seen) >= 4


async def test_deleting_a_huge_run_goes_in_slices_too(path: Path) -> None:
    """Also who deletes by hand does not hold up everybody else."""
    async with engine_on(path, ManualClock()) as engine:
        await (await engine.start(rant, 3 * MOST_PAGES, id="huge")).result()
        commits = _commits_with(engine, "DELETE FROM entries")
        await asyncio.gather(engine.delete("huge"), engine.delete("huge"))
        assert counts(path) == NOTHING
        assert len(commits) >= 4
        with pytest.raises(NotFoundError):
            await engine.delete("huge")


async def test_a_child_goes_with_its_parent(path: Path) -> None:
    """In the same commit, if the parent has ended; by itself while that is open; never while itself is."""
    clock = ManualClock()
    async with engine_on(path, clock, retention=None) as engine:
        for name in ("parent", "grandchild", "child", "of-open"):
            await (await engine.start(talk, name, id=name)).result()
            await clock.advance(DAY)
        await engine.start(wait, "open", id="open")
        await clock.settle()
    with sqlite3.connect(path) as file:
        for child, parent in (
            ("child", "parent"),
            ("grandchild", "child"),
            ("of-open", "open"),
        ):
            file.execute(
                "UPDATE runs SET told = 1, parent = (SELECT number FROM streams WHERE name = ?) "
                "WHERE number = (SELECT number FROM streams WHERE name = ?)",
                (f"run/{parent}", f"run/{child}"),
            )
        # The parent ended last, so its descendants have waited for it.
        file.execute(
            "UPDATE runs SET closed_at = closed_at + 864000 WHERE number = "
            "(SELECT number FROM streams WHERE name = 'run/parent')"
        )
    file.close()
    async with engine_on(path, clock, retention=9 * DAY) as engine:
        await clock.advance(days=9)
        ids = {info.id for info in await engine.list()}
        assert ids == {"parent", "child", "grandchild", "open"}
        commits = _commits_with(engine, "DELETE FROM runs")
        await clock.advance(days=30)
        assert {info.id for info in await engine.list()} == {"open"}
        assert len(commits) == 1
        assert rows(path, "SELECT count(*) FROM runs WHERE parent IS NOT NULL") == [(0,)]


@workflow(name="family")
async def family(ctx: Context) -> str:
    """Have a child."""
    return await ctx.child(talk, "child", id="child")


@workflow(name="family")
async def other_family(ctx: Context) -> str:
    """Fit no history of a family."""
    return await ctx.run(say, "other")


async def test_a_child_of_whose_end_nobody_heard_stays(path: Path) -> None:
    """A parent that is stuck, for however long, finds the child's outcome when it heals; it runs once."""
    clock = ManualClock()
    gate = asyncio.Event()

    @step(name="say")
    async def held(text: str, times: int = 0) -> str:
        await gate.wait()
        return f"{text} {times}"

    options: dict[str, Any] = {"clock": clock, "retention": DAY}
    async with EmbeddedEngine(path, workflows=[family, talk], steps=[held], **options) as engine:
        await engine.start(family, id="parent")
        async for event in (await engine.get("parent")).events():
            if event.type is EventType.CHILD_STARTED:
                break
    gate.set()
    async with EmbeddedEngine(path, workflows=[other_family, talk], steps=[held], **options) as engine:
        assert await (await engine.get("child")).result() == "child 3"
        assert (await (await engine.get("parent")).describe()).status is Status.STUCK
        await clock.advance(days=10)
    async with EmbeddedEngine(path, workflows=[family, talk], steps=[say], **options) as engine:
        assert await (await engine.get("parent")).result() == "child 3"
        await clock.advance(days=2)
        assert counts(path) == NOTHING


async def test_a_child_that_was_heard_of_need_not_wait_for_its_parent(path: Path) -> None:
    """Of a parent that goes on for ever, children go one after the other."""

    @workflow
    async def endless(ctx: Context) -> None:
        while True:
            await ctx.child(talk, "child")
            await ctx.sleep(3_600)

    clock = ManualClock()
    async with EmbeddedEngine(
        path, workflows=[endless, talk], steps=[say], clock=clock, retention=DAY
    ) as engine:
        await engine.start(endless)
        await clock.advance(days=4)
        assert 24 <= counts(path)["runs"] - 1 <= 26


@given(
    st.lists(
        st.lists(st.integers(0, 2 * MOST_PAGES), min_size=1, max_size=5),
        max_size=12,
    )
)
def test_pages_hold_what_one_commit_may_remove(families: list[list[int]]) -> None:
    """Every run once, in order; no page over its share; no family parted that fits in one."""
    numbered = [(root, pages) for root, family in enumerate(families) for pages in family]
    found = pages_of(
        [(root, number, f"run/{number}", pages) for number, (root, pages) in enumerate(numbered)]
    )
    assert [run.number for page in found for run in page] == list(range(len(numbered)))
    for page in found:
        cost = sum(0 if run.is_huge else run.pages or 0 for run in page)
        assert cost <= MOST_PAGES or len(page) == 1
        assert page
    for root, family in enumerate(families):
        parts = [page for page in found if any(numbered[run.number][0] == root for run in page)]
        if sum(pages + 4 for pages in family if pages <= MOST_PAGES) + 4 * len(family) <= MOST_PAGES:
            assert len(parts) == 1


async def test_the_file_stops_growing_under_steady_load(path: Path) -> None:
    """Six simulated weeks of the same load, a week's retention: file and log stay as large as after two."""
    clock = ManualClock()
    sizes = []
    text = "x" * PAGE_BYTES
    async with engine_on(path, clock, retention=timedelta(weeks=1)) as engine:
        for _ in range(6):
            for _ in range(7):
                runs = [await engine.start(talk, text) for _ in range(20)]
                await asyncio.gather(*[run.result() for run in runs])
                await clock.advance(DAY)
            sizes.append(path.stat().st_size + path.with_name("runs.db-wal").stat().st_size)
            assert rows(path, "SELECT count(*) FROM runs")[0][0] <= 8 * 20
    assert max(sizes[2:]) <= sizes[1] * 1.25
    assert sizes[1] > 7 * 20 * 4 * PAGE_BYTES

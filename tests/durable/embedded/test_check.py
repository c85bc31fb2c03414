"""Before a deploy: which open runs fit the code at hand, found without writing a byte or running a step."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from orchestrator import Context, EmbeddedEngine, Retry, step, workflow
from orchestrator.core.errors import RetryableError
from orchestrator.durable.embedded.check import check_runs
from orchestrator.durable.embedded.time_limit import TimeLimit
from orchestrator.durable.runs import Status
from orchestrator.journal import JournalError
from orchestrator.testing import ManualClock
from support.programs import SIGNALS, Program, World, interpret, programs
from support.quiet import next_deadline, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.durable.checking import RunCheck

DAY_S = 86_400.0
FILES = Path(__file__).parents[2] / "journal" / "files"

ran: list[str] = []


@step
async def fetch_page(url: str) -> str:
    """Fetch it."""
    ran.append(url)
    return f"page {url}"


@step
async def summarise(page: str) -> str:
    """Say it in short."""
    ran.append(page)
    return page[:4]


@step
async def translate(page: str) -> str:
    """Say it otherwise."""
    ran.append(page)
    return page.upper()


@step(retry=Retry(attempts=9, backoff=(DAY_S,)))
async def busy() -> None:
    """Be busy for days."""
    raise RetryableError("busy")


@step
async def hang() -> None:
    """Never end."""
    await asyncio.Event().wait()


STEPS = (fetch_page, summarise, translate, busy, hang)


def version(code: Callable[[Context], Any], name: str = "crawl") -> Any:  # noqa: ANN401  # any workflow
    """A workflow of that name with this code."""

    @workflow(name=name)
    async def crawl(ctx: Context) -> Any:  # noqa: ANN401
        return await code(ctx)

    return crawl


async def to_summary(ctx: Context) -> str:
    """The code as it was."""
    page = await ctx.run(fetch_page, "a")
    short = await ctx.run(summarise, page)
    return short + await ctx.receive("approve", str)


async def recorded(path: Path, *flows: Any, most: int = 10_000) -> None:  # noqa: ANN401
    """Runs of these workflows, named after them, in a file that nobody has open any more."""
    engine = EmbeddedEngine(path, workflows=flows, steps=STEPS, clock=ManualClock(), most_runs_in_memory=most)
    async with engine:
        for flow in flows:
            await engine.start(flow, id=flow.name)
        await settle(engine, lambda: 1)


def check(path: Path, *flows: Any, steps: Sequence[object] | None = STEPS) -> RunCheck:  # noqa: ANN401
    """What comes of checking the one open run of a file."""
    (found,) = check_runs(path, flows, steps)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


async def test_runs_that_fit_are_said_to_fit(path: Path) -> None:
    """Whatever they wait for: a signal, time, a step, a retry, a child; in memory or out of it."""

    async def child(ctx: Context) -> None:
        await ctx.receive("never")

    of_child = version(child, "child")

    async def parent(ctx: Context) -> None:
        await ctx.gather(ctx.child(of_child, id="of-parent"), ctx.sleep(DAY_S))

    flows = [
        version(to_summary),
        version(lambda ctx: ctx.sleep(DAY_S), "sleeper"),
        version(lambda ctx: ctx.run(hang), "worker"),
        version(lambda ctx: ctx.run(busy), "retrying"),
        of_child,
        version(parent, "parent"),
    ]
    for most, name in ((0, "out.db"), (10_000, "in.db")):
        file = path.with_name(name)
        await recorded(file, *flows, most=most)
        found = list(check_runs(file, flows, STEPS))
        assert [run.run_id for run in found if not run.fits] == []
        assert {run.run_id for run in found} == {flow.name for flow in flows} | {"of-parent"}


async def test_a_renamed_step_is_shown_as_a_diff(path: Path) -> None:
    """What history and code agree on, what was recorded, and what the code asks for instead."""
    await recorded(path, version(to_summary))

    async def to_translation(ctx: Context) -> str:
        return await ctx.run(translate, await ctx.run(fetch_page, "a"))

    found = check(path, version(to_translation))
    assert not found.fits
    assert (found.run_id, found.workflow) == ("crawl", "crawl")
    assert (found.expected, found.came) == ("2:summarise", ("2:translate",))
    assert found.diff == ("  1:fetch_page", "- 2:summarise", "+ 2:translate")
    assert "operation 2:summarise" in found.reason
    assert "asks for 2:translate" in found.reason


async def test_a_step_that_was_put_in_between_is_shown(path: Path) -> None:
    """The recorded operation has no place any more; the one in its place is named, of several too."""
    await recorded(path, version(to_summary))

    async def longer(ctx: Context) -> str:
        page = await ctx.run(fetch_page, "a")
        await ctx.gather(ctx.run(translate, page), ctx.sleep(5))
        return await ctx.run(summarise, page)

    found = check(path, version(longer))
    assert found.diff == ("  1:fetch_page", "- 2:summarise", "+ 2:translate")
    assert found.came == ("2:translate", "3:sleep")


async def test_code_that_ends_early_or_says_more_does_not_fit(path: Path) -> None:
    """Nothing in place of what was recorded, and something that was not recorded."""
    await recorded(path, version(to_summary))
    assert check(path, version(lambda ctx: ctx.run(fetch_page, "a"))).diff == (
        "  1:fetch_page",
        "- 2:summarise",
    )

    async def loud(ctx: Context) -> str:
        page = await ctx.run(fetch_page, "a")
        ctx.publish("news")
        return await ctx.run(summarise, page)

    found = check(path, version(loud))
    assert found.diff[:2] == ("  1:fetch_page", "- 2:summarise")
    assert found.diff[2:] == ("+ 2:publish news",)


async def test_context_is_the_last_of_what_they_agree_on(path: Path) -> None:
    """Three lines of it, in the order in which the code asks."""

    async def many(ctx: Context) -> None:
        for number in range(8):
            await ctx.run(fetch_page, str(number))
        await ctx.receive("never")

    async def other(ctx: Context) -> None:
        for number in range(7):
            await ctx.run(fetch_page, str(number))
        await ctx.run(translate, "x")

    await recorded(path, version(many))
    assert check(path, version(other)).diff == (
        "  5:fetch_page",
        "  6:fetch_page",
        "  7:fetch_page",
        "- 8:fetch_page",
        "+ 8:translate",
    )


async def test_what_is_not_there_any_more_does_not_fit(path: Path) -> None:
    """A workflow, or a step that was not given; without a list of steps, all count as given."""
    flow = version(to_summary)
    await recorded(path, flow)
    assert "no workflow 'crawl'" in check(path).reason
    assert "no step 'summarise'" in check(path, flow, steps=[fetch_page]).reason
    assert check(path, flow, steps=None).fits


async def test_another_type_or_an_end_at_once_does_not_fit(path: Path) -> None:
    """A result that its step no longer declares, and code that would fail as soon as it runs."""
    await recorded(path, version(to_summary))

    @step(name="summarise")
    async def count(page: str) -> int:
        return len(page)

    async def counting(ctx: Context) -> int:
        return await ctx.run(count, await ctx.run(fetch_page, "a"))

    async def failing(ctx: Context) -> None:
        await to_summary_without_signal(ctx)
        raise ValueError("worse than before")

    async def to_summary_without_signal(ctx: Context) -> str:
        return await ctx.run(summarise, await ctx.run(fetch_page, "a"))

    assert "recorded result does not fit" in check(path, version(counting), steps=None).reason
    assert "would fail at once: ValueError: worse than before" in check(path, version(failing)).reason
    assert check(path, version(to_summary_without_signal)).fits


async def test_a_stuck_run_that_the_code_heals_fits(path: Path) -> None:
    """Its status says where it stands now."""
    good = version(to_summary)
    await recorded(path, good)
    await recorded(path, version(lambda ctx: ctx.run(translate, "x")))
    found = check(path, good)
    assert (found.fits, found.status) == (True, Status.STUCK)


async def test_nothing_is_written_and_no_step_runs(path: Path) -> None:
    """The file and what lies beside it are the same, byte for byte, with an engine at work on it."""
    ran.clear()
    flow = version(to_summary)
    async with EmbeddedEngine(path, workflows=[flow], steps=STEPS) as engine:
        run = await engine.start(flow, id="crawl")
        await settle(engine)
        assert ran == ["a", "page a"]
        before = _digests(path)
        found = await asyncio.to_thread(check, path, version(lambda ctx: ctx.run(translate, "x")))
        assert not found.fits
        assert check(path, flow).fits
        assert _digests(path) == before
        assert ran == ["a", "page a"]
        await run.signal("approve", "!")
        assert await run.result() == "page!"
        assert list(check_runs(path, [flow])) == []


def _digests(path: Path) -> dict[str, str]:
    """What is in the file and its log. The log's index in memory holds the readers' marks too."""
    files = [path, path.with_name(f"{path.name}-wal")]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("spin", ["in python", "in asyncio"])
async def test_code_that_spins_does_not_hang_the_check(path: Path, spin: str) -> None:
    """After its time the run is said not to fit, the others are checked, and its thread ends."""
    flows = [version(to_summary, name) for name in ("first", "spinning", "last")]
    await recorded(path, *flows)

    async def spinning(_: Context) -> None:
        while True:
            if spin == "in asyncio":
                await asyncio.sleep(0)

    code = [flows[0], version(spinning, "spinning"), flows[2]]
    found = {run.run_id: run for run in check_runs(path, code, STEPS, limit_s=1.0)}
    assert [run_id for run_id, run in found.items() if run.fits] == ["first", "last"]
    assert "did not come to wait for anything within 1 seconds" in found["spinning"].reason


async def test_of_a_workflow_that_spins_few_runs_are_tried(path: Path) -> None:
    """A thousand runs of it do not take a thousand times the limit."""
    flow = version(to_summary)
    async with EmbeddedEngine(path, workflows=[flow], steps=STEPS) as engine:
        for number in range(120):
            await engine.start(flow, id=f"{number}")
        await settle(engine)

    begun: list[int] = []

    async def spinning(_: Context) -> None:
        begun.append(1)
        while True:
            pass

    found = list(check_runs(path, [version(spinning)], STEPS, limit_s=0.2))
    assert len(begun) < 10
    assert [run.fits for run in found] == [False] * 120
    assert len({run.run_id for run in found}) == 120


def test_work_in_time_is_given_in_order_and_errors_are_raised() -> None:
    """Also what comes after something that hung."""

    def work(number: int) -> int:
        if number == 2:
            while True:
                pass
        return number * 10

    def reciprocal(number: int) -> int:
        return 1 // number

    in_time = TimeLimit(work, str, 0.5)
    assert list(in_time.each(range(5))) == [(0, 0), (1, 10), (2, None), (3, 30), (4, 40)]
    assert list(in_time.each([2] * 100 + [1]))[-2:] == [(2, None), (1, 10)]
    with pytest.raises(ZeroDivisionError):
        list(TimeLimit(reciprocal, str).each([1, 0]))


async def test_a_damaged_history_is_one_run_that_does_not_fit(path: Path) -> None:
    """The others are checked all the same."""
    flows = [version(to_summary, name) for name in ("good", "bad")]
    await recorded(path, *flows)
    with sqlite3.connect(path) as file:
        file.execute(
            "UPDATE entries SET type = 'nonsense' WHERE type = 'step-completed' AND stream = "
            "(SELECT number FROM streams WHERE name = 'run/bad')"
        )
    file.close()
    found = {run.run_id: run for run in check_runs(path, flows, STEPS)}
    assert found["good"].fits
    assert "history cannot be read" in found["bad"].reason


def test_a_file_of_another_version_is_told_as_such(path: Path) -> None:
    """An older one needs a start of this version; a missing one is missing."""
    with pytest.raises(JournalError, match="cannot be written"):
        list(check_runs(path, []))
    connection = sqlite3.connect(path)
    connection.executescript((FILES / "v1.sql").read_text())
    connection.close()
    with pytest.raises(JournalError, match="older version"):
        list(check_runs(path, []))


@settings(max_examples=25, deadline=None)
@given(programs)
def test_no_run_is_said_not_to_fit_the_code_that_ran_it(program: Program) -> None:
    """Whatever a workflow does and wherever it stands, its own code fits."""
    asyncio.run(_checked_at_every_wait(program))


async def _checked_at_every_wait(program: Program) -> None:
    clock, world = ManualClock(), World()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.db"
        async with EmbeddedEngine(path, workflows=[interpret], steps=[world], clock=clock) as engine:
            run = await engine.start(interpret, program)
            for number in range(30):
                await settle(engine, lambda: world.hanging)
                misfits = [found for found in check_runs(path, [interpret], [world]) if not found.fits]
                assert misfits == []
                if (await run.describe()).status.closed:
                    break
                deadline = next_deadline(engine)
                if deadline is not None:
                    clock.set(max(clock.now, deadline))
                else:
                    await run.signal(SIGNALS[number % len(SIGNALS)], number)

"""An engine leaves nothing behind: no waiter without an answer, no task, no thread, no memory that grows."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, EmbeddedEngine, Retry, step, workflow
from orchestrator.core.errors import RetryableError
from orchestrator.durable.errors import EngineStoppedError, MismatchError, RunFailedError
from orchestrator.durable.runs import EventType, Status
from orchestrator.journal import JournalError
from orchestrator.testing import ManualClock
from support.contract_lab import Gates, all_events
from support.quiet import next_deadline, settle

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 10_000
RUNS_AT_ONCE = 500
# Less than the smallest object for each run. Called-off alarms make it go up and down by half of it.
MOST_GROWTH_BYTES = RUNS * 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


@pytest.fixture
def gates() -> Gates:
    """Steps that the test can hold and let go."""
    return Gates()


@step
async def double(number: int) -> int:
    """Give twice the number."""
    return 2 * number


@workflow
async def twice(ctx: Context, number: int) -> int:
    """Two steps and a limit that is never reached."""
    async with asyncio.timeout(3_600):
        return await ctx.run(double, await ctx.run(double, number))


@workflow
async def held(ctx: Context, name: str) -> str:
    """Wait at a gate, with something to clean up."""
    try:
        return await ctx.run(Gates.wait, name)
    finally:
        await ctx.run(Gates.note, f"after {name}")


async def test_closing_stops_steps_and_answers_all_who_wait(path: Path, gates: Gates) -> None:
    """Waiters and watchers are told; the run's clean-up does not run, for the run goes on later."""
    async with EmbeddedEngine(path, workflows=[held], steps=[gates]) as engine:
        run = await engine.start(held, "gate", id="one")
        await gates.reached("gate")
        waiting = asyncio.create_task(run.result())
        watching = asyncio.create_task(all_events(run))
        following = asyncio.ensure_future(anext(aiter(engine.streams.follow("nothing"))))
        await settle(engine, lambda: 1)
    assert gates.ended == ["gate cancelled"]
    with pytest.raises(EngineStoppedError, match="goes on at the next opening"):
        await waiting
    with pytest.raises(JournalError, match="closed"):
        await watching
    with pytest.raises(JournalError, match="closed"):
        await following
    for call in (run.result(), run.describe(), run.cancel(), run.signal("x"), engine.get("one")):
        with pytest.raises(EngineStoppedError):
            await call
    gates.open("gate")
    async with EmbeddedEngine(path, workflows=[held], steps=[gates]) as engine:
        assert await (await engine.get("one")).result() == "gate"
    assert gates.ended == ["gate cancelled", "gate", "after gate"]


async def test_an_engine_can_be_opened_again(path: Path) -> None:
    """The same object, any number of times; closing twice does no harm."""
    engine = EmbeddedEngine(path, workflows=[twice], steps=[double])
    for number in range(3):
        async with engine:
            assert await (await engine.start(twice, number)).result() == 4 * number
        await engine.close()


async def test_closing_waits_for_a_thread(path: Path) -> None:
    """A plain function cannot be stopped: closing lets it end, and its step runs again later."""
    begun, end = threading.Event(), threading.Event()
    calls: list[str] = []

    @step
    def stubborn() -> str:
        calls.append("begun")
        begun.set()
        end.wait()
        calls.append("ended")
        return "done"

    @workflow
    async def call(ctx: Context) -> str:
        return await ctx.run(stubborn)

    async with EmbeddedEngine(path, workflows=[call], steps=[stubborn]) as engine:
        await engine.start(call, id="one")
        await asyncio.to_thread(begun.wait)
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        assert not closing.done()
        end.set()
        await closing
    assert calls == ["begun", "ended"]
    async with EmbeddedEngine(path, workflows=[call], steps=[stubborn]) as engine:
        assert await (await engine.get("one")).result() == "done"


async def test_closing_does_not_wait_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread that does not end is named in the log and left alone; the file is free."""
    monkeypatch.setattr("orchestrator.durable.embedded.runner.CLOSE_GRACE_S", 0.01)
    begun, end = threading.Event(), threading.Event()

    @step
    def deaf() -> None:
        begun.set()
        end.wait()

    @workflow
    async def call(ctx: Context) -> None:
        await ctx.run(deaf)

    with caplog.at_level(logging.WARNING):
        async with EmbeddedEngine(path, workflows=[call], steps=[deaf]) as engine:
            await engine.start(call)
            await asyncio.to_thread(begun.wait)
    assert "did not stop when asked: " in caplog.text
    assert "deaf" in caplog.text
    async with EmbeddedEngine(path):
        end.set()


async def test_two_engines_live_side_by_side(tmp_path: Path) -> None:
    """Each has its own file, runs and names."""
    async with (
        EmbeddedEngine(tmp_path / "a.db", workflows=[twice], steps=[double]) as one,
        EmbeddedEngine(tmp_path / "b.db", workflows=[twice], steps=[double]) as two,
    ):
        runs = [await engine.start(twice, number, id="same") for number, engine in enumerate((one, two))]
        assert [await run.result() for run in runs] == [0, 4]


async def test_a_failed_opening_leaves_nothing_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When open runs cannot be read, the file is closed and free again."""
    engine = EmbeddedEngine(path, workflows=[twice], steps=[double])
    async with engine:
        pass
    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.durable.embedded.open_runs.SELECT_AWAKE", "SELECT nonsense LIMIT ? + ?")
        with pytest.raises(Exception, match="nonsense"):
            await engine.open()
    async with engine:
        assert await (await engine.start(twice, 1)).result() == 4


async def test_threads_end_with_the_engine(path: Path) -> None:
    """Neither writer nor reader is left."""
    before = set(threading.enumerate())
    async with EmbeddedEngine(path, workflows=[twice], steps=[double]) as engine:
        await (await engine.start(twice, 1)).result()
        await engine.list()
    assert set(threading.enumerate()) <= before


@pytest.mark.timeout(110)
async def test_ten_thousand_runs_leave_no_trace_in_memory(path: Path) -> None:
    """What an engine holds does not grow with the runs that it has ended."""

    async def batch(engine: EmbeddedEngine) -> None:
        runs = await asyncio.gather(*[engine.start(twice, number) for number in range(RUNS_AT_ONCE)])
        assert sum(await asyncio.gather(*[run.result() for run in runs])) == 2 * RUNS_AT_ONCE * (
            RUNS_AT_ONCE - 1
        )

    async with EmbeddedEngine(path, workflows=[twice], steps=[double]) as engine:
        tracemalloc.start()
        for _ in range(4):
            await batch(engine)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(RUNS // RUNS_AT_ONCE):
            await batch(engine)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert engine.active == 0
    assert after - before < MOST_GROWTH_BYTES


async def test_what_a_run_left_unfinished_is_unwound_quietly(path: Path, gates: Gates) -> None:
    """Steps, sleeps and tasks that nobody awaits end with their run; nothing is warned of or recorded."""

    @workflow
    async def careless(ctx: Context) -> str:
        begun = [ctx.run(Gates.wait, "gate"), ctx.sleep(3_600), ctx.receive("never")]
        task = asyncio.ensure_future(ctx.run(Gates.wait, "other"))
        await ctx.run(Gates.note, "done")
        return f"{len(begun)} and {task.done()}"

    async with EmbeddedEngine(path, workflows=[careless], steps=[gates]) as engine:
        run = await engine.start(careless)
        assert await run.result() == "3 and False"
        await settle(engine)
        assert (await all_events(run))[-1].type is EventType.RUN_COMPLETED
    gc.collect()


@pytest.mark.parametrize("raised", [SystemExit(3), GeneratorExit(), BaseException("odd")])
async def test_workflow_code_cannot_end_the_process(path: Path, raised: BaseException) -> None:
    """Whatever it raises fails its run, and the next run works."""

    @workflow
    async def leave(ctx: Context) -> None:
        await ctx.sleep(0)
        raise raised

    async with EmbeddedEngine(path, workflows=[leave, twice], steps=[double]) as engine:
        with pytest.raises(RunFailedError, match=type(raised).__name__):
            await (await engine.start(leave)).result()
        assert await (await engine.start(twice, 1)).result() == 4


async def test_code_that_spins_fails_its_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that never waits is stopped, said, and recorded without anyone else's help."""
    monkeypatch.setattr("orchestrator.durable.embedded.loop.LONGEST_TURN_S", 0.02)

    @workflow
    async def spin(ctx: Context) -> None:
        while True:  # noqa: ASYNC110  # what is tested
            await asyncio.sleep(0)

    async with EmbeddedEngine(path, workflows=[spin]) as engine:
        run = await engine.start(spin)
        with pytest.raises(RunFailedError, match="without waiting for an operation"):
            await run.result()


async def test_text_that_cannot_be_written_harms_nobody_else(path: Path) -> None:
    """Names with half a character are refused where they come from; the journal goes on."""

    @workflow
    async def say(ctx: Context, name: str) -> None:
        ctx.publish(name.replace("?", "\ud800"))

    async with EmbeddedEngine(path, workflows=[say, twice], steps=[double]) as engine:
        with pytest.raises(RunFailedError, match="UnicodeEncodeError"):
            await (await engine.start(say, "?")).result()
        with pytest.raises(UnicodeEncodeError):
            await engine.start(say, "fine", owner="\ud800")
        with pytest.raises(UnicodeEncodeError):
            await engine.start(say, "fine", id="\ud800")
        with pytest.raises(UnicodeEncodeError):
            await engine.streams.append("s", "text", b"", key="\ud800")
        assert await engine.streams.append("s", "text", b"") == 1
        run = await engine.start(twice, 1)
        assert await run.result() == 4
        assert [event.offset for event in await all_events(run)] == list(range(1, 7))


async def test_watchers_of_an_ended_run_are_not_kept_waiting(path: Path) -> None:
    """Who has seen all of it, or comes after it was deleted, is not left hanging."""
    async with EmbeddedEngine(path, workflows=[twice], steps=[double]) as engine:
        run = await engine.start(twice, 1)
        await run.result()
        events = await all_events(run)
        assert await all_events(run, after=events[-1].offset) == []
        assert await all_events(run, after=1_000) == []
        slow = aiter(run.events())
        assert await anext(slow) == events[0]
        await engine.delete(run.id)
        assert [event async for event in slow] == events[1:]


async def test_steps_that_come_back_at_once_keep_the_bound(path: Path) -> None:
    """Retries that are due in the same moment wait their turn, as first attempts do."""
    clock = ManualClock()
    working = most = 0

    @step(retry=Retry(attempts=2, backoff=(60,)))
    async def flicker(number: int, seen: list[int]) -> int:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await asyncio.sleep(0)
        working -= 1
        if number not in tried:
            tried.add(number)
            raise RetryableError("not yet")
        return number

    tried: set[int] = set()

    @workflow
    async def many(ctx: Context) -> list[int]:
        return list(await asyncio.gather(*[ctx.run(flicker, number, []) for number in range(20)]))

    async with EmbeddedEngine(
        path, workflows=[many], steps=[flicker], clock=clock, most_steps_at_once=3
    ) as engine:
        run = await engine.start(many)
        await settle(engine)
        clock.set(next_deadline(engine) or 0.0)
        assert await run.result() == list(range(20))
    assert most == 3


async def test_a_stuck_run_is_ended_once_however_many_ask(path: Path) -> None:
    """Two cancels of a run whose code is gone: one end, and both are told that it is over."""
    async with EmbeddedEngine(path, workflows=[held], steps=[Gates()]) as engine:
        await engine.start(held, "gate", id="one")
    async with EmbeddedEngine(path, workflows=[twice], steps=[double]) as engine:
        run = await engine.get("one")
        assert (await run.describe()).status is Status.STUCK
        await asyncio.gather(run.cancel(), run.cancel())
        assert (await run.describe()).status is Status.TERMINATED
        last = [event.type for event in await all_events(run)][-2:]
        assert last.count(EventType.RUN_TERMINATED) == 1
        assert await (await engine.start(twice, 1)).result() == 4


async def test_code_that_publishes_something_else_does_not_break_the_journal(path: Path) -> None:
    """A changed event is a mismatch like any other: the run is stuck until the right code is back."""
    gates = Gates()

    def version(name: str) -> Any:  # noqa: ANN401  # a workflow, whatever its types
        @workflow(name="speaker")
        async def speaker(ctx: Context) -> str:
            ctx.publish(name)
            return await ctx.run(Gates.wait, "gate")

        return speaker

    async with EmbeddedEngine(path, workflows=[version("old")], steps=[gates]) as engine:
        await engine.start(version("old"), id="one")
        await gates.reached("gate")
        await settle(engine, lambda: 1)
    gates.open("gate")
    async with EmbeddedEngine(path, workflows=[version("new")], steps=[gates]) as engine:
        with pytest.raises(MismatchError, match="publish old"):
            await (await engine.get("one")).result()
    async with EmbeddedEngine(path, workflows=[version("old")], steps=[gates]) as engine:
        run = await engine.get("one")
        assert await run.result() == "gate"
        assert [event.name for event in await all_events(run) if event.type is EventType.PUBLISHED] == ["old"]


async def test_deleting_a_stream_ends_its_followers_and_frees_its_name(path: Path) -> None:
    """An entry that comes while the delete is on its way begins the stream anew."""
    async with EmbeddedEngine(path) as engine:
        streams = engine.streams
        await streams.append("news", "text", b"old")
        following = aiter(streams.follow("news"))
        assert (await anext(following)).data == b"old"
        waiting = asyncio.ensure_future(anext(following, None))
        deleting = asyncio.create_task(streams.delete("news"))
        await asyncio.sleep(0)
        assert await streams.append("news", "text", b"new") == 1
        await deleting
        assert await waiting is None
    async with EmbeddedEngine(path) as engine:
        assert [entry.data for entry in await engine.streams.read("news")] == [b"new"]
        assert await engine.streams.append("news", "text", b"newer") == 2
        assert await engine.streams.append("other", "text", b"x") == 1


async def test_a_run_that_begins_with_a_prefix_sees_the_time_that_was_recorded(path: Path) -> None:
    """What was decided by the time of day is decided the same way when it is replayed in another run."""
    clock = ManualClock()

    @workflow
    async def remember(ctx: Context, name: str) -> list[float]:
        begun = ctx.now().timestamp()
        await ctx.sleep(60)
        slept = ctx.now().timestamp()
        await ctx.run(Gates.note, name)
        return [begun, slept]

    async with EmbeddedEngine(path, workflows=[remember], steps=[Gates()], clock=clock) as engine:
        first = await engine.start(remember, "one")
        await settle(engine)
        clock.jump(60)
        times = await first.result()
        clock.jump(3_600)
        prefix = await first.recorded(until="Gates.note")
        second = await engine.start(remember, "two", prefix=prefix)
        assert await second.result() == times

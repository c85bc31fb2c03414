"""Large values of runs: in files, written before their rows, read back, and gone with their run."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, EmbeddedEngine, progress, step, workflow
from orchestrator.core.private_files import write_private_file
from orchestrator.durable.embedded import JournalReader
from orchestrator.durable.errors import MismatchError
from orchestrator.durable.runs import Status
from orchestrator.journal import UnreadableError
from orchestrator.journal.stream_blobs import MOST_IN_ROW_BYTES
from orchestrator.testing import ManualClock, Signal, crash_everywhere
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 300_000
DAY_S = 86_400.0


@step
async def write(size: int) -> str:
    """Write a long text, and show some of it."""
    progress("p" * LARGE)
    return "x" * size


@step
async def measure(text: str) -> int:
    """Tell how long it is."""
    return len(text)


@workflow
async def book(ctx: Context, title: str) -> str:
    """Handle large values in every way that there is."""
    text = await ctx.run(write, LARGE)
    ctx.publish("text", text)
    letter = await ctx.receive("letter", str)
    await ctx.sleep(DAY_S)
    length = await ctx.run(measure, text + letter)
    return f"{title[:5]} {length} " + "y" * LARGE


@workflow
async def held(ctx: Context, size: int) -> int:
    """Keep a large value over a wait."""
    text = await ctx.run(write, size)
    await ctx.run(Gates.wait, "gate")
    return len(text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


@pytest.fixture
def gates() -> Gates:
    """Steps that the test can hold and let go."""
    return Gates()


def open_engine(path: Path, gates: Gates) -> EmbeddedEngine:
    """An engine for the workflows of this file."""
    return EmbeddedEngine(path, workflows=[book, held], steps=[write, measure, gates])


def files(path: Path) -> list[Path]:
    """The files beside the journal."""
    return sorted(path.with_name(f"{path.name}.blobs").glob("*/*"))


async def test_large_values_survive_a_crash_at_every_write(tmp_path: Path) -> None:
    """Whichever file or row was written last: input, result, progress, signal, published event, output."""
    report = await crash_everywhere(
        book,
        "title".ljust(LARGE),
        steps=[write, measure],
        signals=[Signal("letter", "z" * LARGE)],
        folder=tmp_path,
    )
    assert report.status is Status.COMPLETED
    assert report.result == f"title {2 * LARGE} " + "y" * LARGE
    assert report.crashes == report.points


async def test_large_values_are_in_files_and_small_ones_in_rows(path: Path, gates: Gates) -> None:
    """The journal stays small, and what was written is read back from both."""
    gates.open("gate")
    async with open_engine(path, gates) as engine:
        small = await engine.start(held, MOST_IN_ROW_BYTES - 2)
        await small.result()
        only_progress = files(path)
        large = await engine.start(held, MOST_IN_ROW_BYTES - 1)
        assert await large.result() == MOST_IN_ROW_BYTES - 1
        sizes = [file.stat().st_size for file in files(path)]
        assert len(only_progress) == 1
        assert sorted(sizes) == [MOST_IN_ROW_BYTES + 1, LARGE + 2, LARGE + 2]
        events = await all_events(large)
        assert [event.data for event in events if event.name == "write" and event.data][-1] == "x" * (
            MOST_IN_ROW_BYTES - 1
        )
    with JournalReader(path) as reader:
        assert list(reader.events(large.id)) == events
        assert reader.steps(large.id)[0].result == "x" * (MOST_IN_ROW_BYTES - 1)


async def test_watchers_get_large_values_while_the_run_goes_on(path: Path, gates: Gates) -> None:
    """Not only those who come later."""
    async with open_engine(path, gates) as engine:
        run = await engine.start(held, LARGE)
        watching = asyncio.ensure_future(all_events(run))
        await gates.reached("gate")
        gates.open("gate")
        live = await watching
        assert live == await all_events(run)
        assert max(len(event.data) for event in live if isinstance(event.data, str)) == LARGE


async def test_the_files_of_a_run_go_with_it(path: Path, gates: Gates) -> None:
    """And no others."""
    gates.open("gate")
    async with open_engine(path, gates) as engine:
        one, other = [await engine.start(held, LARGE) for _ in range(2)]
        await one.result()
        await other.result()
        kept = [file for file in files(path) if file.parent != files(path)[0].parent]
        await engine.delete(one.id)
        await (await engine.start(held, 1)).result()  # written after what was removed
        assert [file for file in files(path) if file in kept] == kept
        assert len(files(path)) == len(kept) + 1
        assert await other.result() == LARGE


@pytest.mark.parametrize("damage", ["gone", "changed"])
async def test_a_run_whose_file_is_damaged_is_stuck_and_heals_with_it(
    path: Path, gates: Gates, damage: str
) -> None:
    """It says which file; when that is back, the run goes on."""
    async with open_engine(path, gates) as engine:
        run = await engine.start(held, 2 * LARGE)
        await gates.reached("gate")
    [file] = [file for file in files(path) if file.stat().st_size > 2 * LARGE]
    written = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(written[:-2] + b'y"')
    async with open_engine(path, gates) as engine:
        with pytest.raises(
            MismatchError, match=r"entry 4 \(step-completed 1:write#1\) cannot be read: the file"
        ):
            await (await engine.get(run.id)).result()
        assert str(file) in (await run_reason(engine, run.id))
        with pytest.raises(UnreadableError, match=str(file)):
            await (await engine.get(run.id)).steps()
    file.write_bytes(written)
    gates.open("gate")
    async with open_engine(path, gates) as engine:
        assert await (await engine.get(run.id)).result() == 2 * LARGE


async def run_reason(engine: EmbeddedEngine, run_id: str) -> str:
    """Why a run is stuck."""
    return (await (await engine.get(run_id)).describe()).reason


async def test_a_full_disk_keeps_a_large_result_in_memory(
    path: Path, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a row: nothing is lost, and the step does not run again."""
    monkeypatch.setattr("orchestrator.journal.writer.FULL_RETRY_S", 0.01)
    calls: list[Path] = []
    has_room = asyncio.Event()

    def on_a_full_disk(file: Path, data: bytes) -> None:
        calls.append(file)
        if not has_room.is_set():
            raise OSError(errno.ENOSPC, "no room")
        write_private_file(file, data)

    monkeypatch.setattr("orchestrator.journal.stream_blobs.write_private_file", on_a_full_disk)
    gates.open("gate")
    async with open_engine(path, gates) as engine:
        run = await engine.start(held, LARGE)
        assert engine._services is not None
        await engine._services.journal._writer.filled.wait()
        assert gates.calls == []
        has_room.set()
        assert await run.result() == LARGE
        steps = await run.steps()
        assert [(view.name, view.attempt) for view in steps] == [("write", 1), ("Gates.wait", 1)]
    assert len(calls) > 2


@workflow
async def rounds(ctx: Context, left: int) -> int:
    """Begin anew after each large value."""
    text = await ctx.run(write, left * LARGE)
    if left > 1:
        ctx.continue_as(left - 1)
    return len(text)


async def test_files_of_a_history_that_was_left_behind_are_gone(tmp_path: Path) -> None:
    """An endless workflow takes no more room than its last history, also when it crashes on the way."""
    path = tmp_path / "r.db"
    async with EmbeddedEngine(path, workflows=[rounds], steps=[write]) as engine:
        run = await engine.start(rounds, 5)
        assert await run.result() == LARGE
        other = await engine.start(rounds, 1)  # written after what was removed
        await other.result()
        first = min(files(path)).parent
        assert len(list(first.iterdir())) == 2  # its last progress and its last result
    report = await crash_everywhere(rounds, 3, steps=[write], folder=tmp_path)
    assert report.result == LARGE


async def test_files_of_progress_go_when_its_time_is_over(path: Path, gates: Gates) -> None:
    """Results stay until their run goes."""
    clock = ManualClock()
    engine = EmbeddedEngine(
        path,
        workflows=[held],
        steps=[write, gates],
        clock=clock,
        progress_retention=timedelta(hours=1),
        retention=timedelta(days=1),
    )
    gates.open("gate")
    async with engine:
        await (await engine.start(held, LARGE)).result()
        assert len(files(path)) == 2
        await clock.advance(hours=2)
        await (await engine.start(held, 1)).result()  # written after what was removed
        assert [file.read_bytes()[:2] for file in files(path) if file.parent.name == "1"] == [b'"x']
        await clock.advance(days=2)
    assert files(path) == []


CHILD = """
import asyncio, sys
from pathlib import Path
from orchestrator import Context, EmbeddedEngine, step, workflow

@step
async def write(number: int) -> str:
    return str(number) * 300_000

@workflow
async def endless(ctx: Context) -> None:
    number = 0
    while True:
        number += 1
        text = await ctx.run(write, number)
        ctx.publish("done", number)

async def main() -> None:
    async with EmbeddedEngine(Path(sys.argv[1]), workflows=[endless], steps=[write]) as engine:
        run = await engine.start(endless, id="endless")
        async for event in run.events():
            if event.name == "done":
                print(event.data, flush=True)

asyncio.run(main())
"""


@pytest.mark.acceptance
def test_every_row_has_its_file_after_a_kill(path: Path) -> None:
    """Killed at any moment, whatever the history names is there, whole, and there is little else."""
    last = 0
    for kill_after in (3, 11, 7):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, env=os.environ, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(last + kill_after):
                last = max(last, int(child.stdout.readline()))
            child.kill()
        with JournalReader(path) as reader:
            results = [view.result for view in reader.steps("endless") if view.result is not None]
        assert len(results) >= last
        assert results == [str(number) * 300_000 for number in range(1, len(results) + 1)]
        assert len(files(path)) - len(results) <= 1
    digests = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files(path)}
    assert len(digests) >= last

"""Disks that are full, files that cannot be used, clocks that jump: clear errors, and nothing lost."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, EmbeddedEngine, step, workflow
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.durable.runs import Status
from orchestrator.journal import JournalError
from orchestrator.journal.errors import JournalFullError, JournalInUseError
from orchestrator.testing import ManualClock
from support.contract_lab import Gates, all_events
from support.quiet import next_deadline, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_S = 86_400.0
HOUR_S = 3_600.0
TESTS = Path(__file__).parents[2]


@step
async def grow(size: int) -> str:
    """Give much text."""
    return "x" * size


@workflow
async def gated(ctx: Context, size: int) -> int:
    """Wait at a gate, then keep some text."""
    await ctx.run(Gates.wait, "gate")
    text = await ctx.run(grow, size)
    await ctx.run(Gates.note, "after")
    return len(text)


@workflow
async def nap(ctx: Context, seconds: float) -> list[float]:
    """Sleep, and tell when."""
    times = [ctx.now().timestamp()]
    for _ in range(2):
        await ctx.sleep(seconds)
        times.append(ctx.now().timestamp())
    return times


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
    return EmbeddedEngine(path, workflows=[gated, nap], steps=[gates, grow])


def hashes(*files: Path) -> list[str]:
    """What the files hold, to the byte."""
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]


class Disk:
    """The room that the journal of an open engine has. SQLite itself says when it is used up."""

    def __init__(self, engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("orchestrator.journal.writer.FULL_RETRY_S", 0.01)
        assert engine._services is not None
        self._writer = engine._services.journal._writer

    def fill(self) -> None:
        """Leave room for no further page."""
        pages = self._writer._connection.execute("PRAGMA page_count").fetchone()[0]
        self._writer._connection.execute(f"PRAGMA max_page_count = {pages}")

    def free(self) -> None:
        """Make room again."""
        self._writer._connection.execute("PRAGMA max_page_count = 1000000")

    async def found_full(self) -> None:
        """Until a write has failed for want of room."""
        await self._writer.filled.wait()


async def test_a_full_disk_stops_new_work_and_all_goes_on_when_there_is_room(
    path: Path, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results stay in memory, no step starts, starts are refused with the reason; then all goes on."""
    async with open_engine(path, gates) as engine:
        disk = Disk(engine, monkeypatch)
        run = await engine.start(gated, 100_000, id="one")
        await gates.reached("gate")
        disk.fill()
        gates.open("gate")
        await disk.found_full()
        assert gates.calls == ["gate"]
        with pytest.raises(JournalFullError, match=r"the disk with .*runs\.db is full; free some space"):
            await engine.start(gated, 1)
        with pytest.raises(JournalFullError):
            await run.cancel()
        disk.free()
        assert await run.result() == 100_000
        assert gates.calls == ["gate", "after"]
        other = await engine.start(nap, 0.0)
        await other.result()
        assert [event.offset for event in await all_events(run)] == list(range(1, 9))


async def test_closing_on_a_full_disk_ends_and_loses_no_run(
    path: Path, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be written is done again at the next opening; closing does not wait for room."""
    async with open_engine(path, gates) as engine:
        run = await engine.start(gated, 100_000, id="one")
        disk = Disk(engine, monkeypatch)
        await gates.reached("gate")
        disk.fill()
        gates.open("gate")
        await disk.found_full()
        waiting = asyncio.create_task(run.result())
        await asyncio.sleep(0)
    with pytest.raises(EngineStoppedError, match="closed"):
        await waiting
    async with open_engine(path, gates) as engine:
        assert await (await engine.get("one")).result() == 100_000


async def test_a_disk_that_fills_up_while_closing_does_not_hold_it(path: Path, gates: Gates) -> None:
    """Closing writes what it can, and ends when it cannot."""
    engine = open_engine(path, gates)
    await engine.open()
    streams = engine.streams
    assert engine._services is not None
    writer = engine._services.journal._writer
    pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
    writer._connection.execute(f"PRAGMA max_page_count = {pages}")
    appending = asyncio.create_task(streams.append("much", "text", b"x" * 100_000))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(JournalError, match="closed"):
        await appending


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Have the system refuse to let files of this process grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_write_that_the_system_refuses_stops_the_engine(path: Path, gates: Gates) -> None:
    """Nobody knows what is on the disk then: everyone who waits is told, and reopening loses nothing."""
    async with open_engine(path, gates) as engine:
        run = await engine.start(gated, 3_000_000, id="one")
        await gates.reached("gate")
        watching = asyncio.create_task(all_events(run))
        with largest_file(1_000_000):
            gates.open("gate")
            with pytest.raises(JournalError, match=r"writing .*runs\.db failed: .*Restart to open it anew"):
                await run.result()
        with pytest.raises(JournalError, match="Restart"):
            await watching
        with pytest.raises(JournalError, match="Restart"):
            await engine.start(nap, 1.0)
    async with open_engine(path, gates) as engine:
        run = await engine.get("one")
        assert await run.result() == 3_000_000
        assert gates.ended.count("gate") == 1


async def test_a_failed_sync_stops_the_engine_and_reopening_loses_nothing(path: Path, gates: Gates) -> None:
    """A sync is never tried again: the engine says so, and the file has what was durable before."""
    broken = False

    def fault(point: str) -> None:
        if broken and point == "after-write":
            raise OSError(5, "Input/output error")

    engine = EmbeddedEngine(path, workflows=[gated], steps=[gates, grow], fault=fault)
    async with engine:
        run = await engine.start(gated, 1, id="one")
        await gates.reached("gate")
        broken = True
        gates.open("gate")
        with pytest.raises(JournalError, match=r"Input/output error.*Restart"):
            await run.result()
        with pytest.raises(JournalError, match="Restart"):
            await run.describe()
    broken = False
    async with engine:
        assert await (await engine.get("one")).result() == 1


OPEN_AND_SAY = """
import asyncio, json, os, sys
from orchestrator import EmbeddedEngine
from orchestrator.core.errors import OrchestratorError

async def main():
    try:
        async with EmbeddedEngine(sys.argv[1]):
            print("opened")
    except OrchestratorError as error:
        print(error.message)

if os.geteuid() == 0:
    # Root may write everything; nobody may not.
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(main())
"""


async def opened_by_a_plain_user(path: Path) -> str:
    """What a process without the rights of root says when it opens the file."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", OPEN_AND_SAY, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return done.stdout.strip()


@pytest.fixture
def public(gates: Gates) -> Iterator[Path]:
    """A journal in a folder that every user can get to."""
    folder = Path(tempfile.mkdtemp(prefix="journal-"))
    yield folder / "runs.db"
    folder.chmod(0o700)
    shutil.rmtree(folder)


async def test_what_cannot_be_written_is_refused_and_left_alone(public: Path, gates: Gates) -> None:
    """Folder, file, and the place of the log may each be read-only: it is said, and nothing is touched."""
    async with open_engine(public, gates) as engine:
        await (await engine.start(nap, 0.0)).result()
    lock = public.with_name("runs.db.lock")
    before = hashes(public)
    assert not public.with_name("runs.db-wal").exists()
    public.parent.chmod(0o555)
    public.chmod(0o444)
    lock.chmod(0o444)
    assert "cannot write" in await opened_by_a_plain_user(public)
    lock.chmod(0o666)
    assert "cannot be written" in await opened_by_a_plain_user(public)
    public.parent.chmod(0o777)
    assert "cannot be written" in await opened_by_a_plain_user(public)
    public.chmod(0o666)
    public.parent.chmod(0o555)
    assert "cannot be" in await opened_by_a_plain_user(public)
    assert hashes(public) == before
    public.parent.chmod(0o777)
    assert await opened_by_a_plain_user(public) == "opened"


async def test_a_second_process_is_refused_naming_the_first(public: Path, gates: Gates) -> None:
    """One file has one engine; in the same process too."""
    public.parent.chmod(0o777)
    async with open_engine(public, gates):
        for name in ("runs.db", "runs.db.lock"):
            public.with_name(name).chmod(0o666)
        assert f"in use by the process with pid {os.getpid()}" in await opened_by_a_plain_user(public)
        with pytest.raises(JournalInUseError, match=f"pid {os.getpid()}"):
            await open_engine(public, gates).open()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("header", "damaged or no SQLite file"),
        ("middle", "damaged"),
        ("text", "damaged"),
        ("foreign", "database of another program"),
        ("newer", "newer version"),
    ],
)
async def test_a_file_that_cannot_be_trusted_is_refused_and_left_alone(
    path: Path, gates: Gates, harm: str, reason: str
) -> None:
    """With its log from a crash beside it: the reason is told, and not one byte of either changes."""
    async with open_engine(path, gates) as engine:
        for number in range(20):
            await engine.start(gated, number)
        crashed = copied(path, path.with_name("crashed.db"), harm)
    log = crashed.with_name("crashed.db-wal")
    before = hashes(crashed, log)
    engine = open_engine(crashed, gates)
    for _ in range(2):  # refused, it is not kept locked either
        with pytest.raises(JournalError, match=reason):
            await engine.open()
    assert hashes(crashed, log) == before


def copied(path: Path, copy: Path, harm: str) -> Path:
    """A copy of an open journal and its log, as a crash leaves them, with something wrong."""
    log = copy.with_name(f"{copy.name}-wal")
    shutil.copy(path, copy)
    shutil.copy(path.with_name(f"{path.name}-wal"), log)
    if harm in {"newer", "foreign"}:
        pragma = "user_version = 99" if harm == "newer" else "application_id = 7"
        connection = sqlite3.connect(copy, isolation_level=None)
        connection.execute(f"PRAGMA {pragma}")
        kept = [file.read_bytes() for file in (copy, log)]
        connection.close()
        for file, content in zip((copy, log), kept, strict=True):
            file.write_bytes(content)
    else:
        # The log has one page of another table, so nothing of what is damaged.
        connection = sqlite3.connect(copy, isolation_level=None)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("UPDATE runs SET reason = 'in the log' WHERE number = 1")
        logged = log.read_bytes()
        damaged = bytearray(copy.read_bytes())
        connection.close()
        if harm == "text":
            damaged[:] = b"not a database\n" * 100
        else:
            start = 0 if harm == "header" else len(damaged) // 2 // 4096 * 4096
            damaged[start : start + 4096] = b"\xa5" * 4096
        copy.write_bytes(damaged)
        log.write_bytes(logged)
    return copy


async def test_an_engine_is_refused_after_a_fork(path: Path, gates: Gates) -> None:
    """Two processes must not write through one connection: the child is told to open its own."""
    async with open_engine(path, gates) as engine:
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn: threads do not survive
            child = os.fork()
        if child == 0:
            said = "nothing was refused"
            try:
                engine.start(nap, 1.0).send(None)
            except BaseException as error:  # noqa: BLE001  # whatever it is, the child must not live on
                said = str(error)
            os.write(writer, said.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as words:
            assert "cannot be used after a fork" in words.read()
        os.waitpid(child, 0)  # noqa: ASYNC222  # it has said its last words
        assert len(await (await engine.start(nap, 0.0)).result()) == 3


async def test_a_clock_set_back_keeps_deadlines_and_time_goes_on(path: Path, gates: Gates) -> None:
    """A sleep ends when the clock shows its deadline, also where that takes a day longer; no busy waiting."""
    clock = ManualClock()
    begun = clock.now
    async with EmbeddedEngine(path, workflows=[nap], clock=clock) as engine:
        run = await engine.start(nap, HOUR_S)
        await settle(engine)
        clock.set(begun - DAY_S)
        await settle(engine)
        asked = clock.asked
        clock.set(begun + HOUR_S - 1)
        await settle(engine)
        assert next_deadline(engine) == begun + HOUR_S
        assert clock.asked == asked
        clock.jump(1)
        await settle(engine)
        clock.set(begun - DAY_S)
        await settle(engine)
        assert next_deadline(engine) == begun + 2 * HOUR_S
        clock.set(begun + 2 * HOUR_S)
        assert await run.result() == [begun, begun + HOUR_S, begun + 2 * HOUR_S]
        times = [event.at for event in await all_events(run)]
        assert times == sorted(times)


async def test_a_clock_set_back_while_the_engine_was_closed_changes_no_history(path: Path) -> None:
    """What is recorded later never has an earlier time."""
    clock = ManualClock()
    begun = clock.now
    async with EmbeddedEngine(path, workflows=[nap], clock=clock) as engine:
        await engine.start(nap, HOUR_S, id="one")
        await settle(engine)
        clock.jump(HOUR_S)
        await settle(engine)
    clock.set(begun - DAY_S)
    async with EmbeddedEngine(path, workflows=[nap], clock=clock) as engine:
        run = await engine.get("one")
        await settle(engine)
        assert (await run.describe()).status is Status.WAITING
        assert next_deadline(engine) == begun + 2 * HOUR_S
        await run.cancel()
        await settle(engine)
        times = [event.at for event in await all_events(run)]
        assert times == sorted(times)


async def test_a_clock_set_forward_ends_all_that_is_due(path: Path) -> None:
    """Sleeps that are over end at once, in the order of their deadlines; their runs see the clock's time."""
    clock = ManualClock()
    begun = clock.now
    async with EmbeddedEngine(path, workflows=[nap], clock=clock) as engine:
        runs = [await engine.start(nap, hours * HOUR_S) for hours in (3, 1, 2)]
        await settle(engine)
        clock.jump(DAY_S)
        await settle(engine)
        clock.jump(DAY_S)
        for run in runs:
            assert await run.result() == [begun, begun + DAY_S, begun + 2 * DAY_S]


DEADLY = """
import asyncio, json, os, pathlib, sys
from orchestrator import Context, EmbeddedEngine, step, step_info, workflow

folder = pathlib.Path(sys.argv[1])

@step
async def deadly() -> int:
    info = step_info()
    with (folder / "lives").open("a") as lives:
        lives.write(json.dumps([info.attempt, info.idempotency_key]) + "\\n")
    if len((folder / "lives").read_text().splitlines()) < 4:
        os._exit(9)
    return info.attempt

@workflow
async def dare(ctx: Context) -> int:
    return await ctx.run(deadly)

async def main():
    async with EmbeddedEngine(folder / "runs.db", workflows=[dare], steps=[deadly]) as engine:
        print(await (await engine.start(dare, id="one")).result())

asyncio.run(main())
"""


async def test_a_step_that_kills_its_process_is_found_counted(tmp_path: Path) -> None:
    """Each return tries again with the same key, and knows of the deaths before (the first may go unseen)."""
    command = [sys.executable, "-c", DEADLY, str(tmp_path)]
    for _ in range(3):
        died = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        assert died.returncode == 9
    lived = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    lives = [json.loads(line) for line in (tmp_path / "lives").read_text().splitlines()]
    attempts = [attempt for attempt, _ in lives]
    assert attempts[0] == 1
    assert attempts[1] in {1, 2}
    assert attempts[2:] == [attempts[1] + 1, attempts[1] + 2]
    assert int(lived.stdout) == attempts[-1]
    assert len({key for _, key in lives}) == 1

"""Encrypted journals: nothing to read without keys, nothing lost for want of them, keys that take turns."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, EmbeddedEngine, Encryption, progress, step, workflow
from orchestrator.core.errors import ConflictError
from orchestrator.durable.codec import KEY_BYTES, SEALED
from orchestrator.durable.embedded import JournalReader
from orchestrator.durable.errors import MismatchError, RunFailedError
from orchestrator.durable.runs import Status
from orchestrator.journal import UnreadableError
from orchestrator.testing import ManualClock
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.durable.runs import Event

OLD = Encryption({"2025": os.urandom(KEY_BYTES)})
NEW_KEY = os.urandom(KEY_BYTES)
BOTH = Encryption({"2026": NEW_KEY, **OLD.keys})
NEW = Encryption({"2026": NEW_KEY})
LARGE = 300_000


@step
async def echo(text: str) -> str:
    """Give the text back, and show it."""
    progress(f"progress-plaintext {text}")
    return f"result-plaintext {text}"


@step
async def refuse(text: str) -> str:
    """Fail with the text."""
    raise ValueError(f"failure-plaintext {text}")


@workflow
async def tell(ctx: Context, text: str) -> str:
    """Have the text in every kind of entry."""
    said = await ctx.run(echo, text)
    await ctx.run(echo, "large-plaintext " * LARGE)
    ctx.publish("said", f"published-plaintext {said}")
    letter = await ctx.receive("letter", str)
    return f"output-plaintext {letter}"


@workflow
async def fail(ctx: Context, text: str) -> str:
    """Fail with the text."""
    return await ctx.run(refuse, text)


@workflow
async def wait(ctx: Context, text: str) -> str:
    """Keep the text over a wait."""
    said = await ctx.run(echo, text)
    await ctx.run(Gates.wait, "gate")
    return said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "data" / "runs.db"


@pytest.fixture(autouse=True)
def folder(path: Path) -> Path:
    """The directory of the journal, which has nothing else in it."""
    path.parent.mkdir()
    return path.parent


@pytest.fixture
def gates() -> Gates:
    """Steps that the test can hold and let go."""
    return Gates()


def open_engine(
    path: Path, gates: Gates, encryption: Encryption | None, clock: ManualClock | None = None
) -> EmbeddedEngine:
    """An engine for the workflows of this file."""
    return EmbeddedEngine(
        path, workflows=[tell, fail, wait], steps=[echo, refuse, gates], encryption=encryption, clock=clock
    )


def everything_in(folder: Path) -> bytes:
    """Every byte of every file, also of those that SQLite keeps beside its own."""
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def lived_through(engine: EmbeddedEngine) -> list[list[Event]]:
    """The events of two runs, one completed and one failed, that had plain text everywhere."""
    run = await engine.start(tell, "input-plaintext", id="told")
    await run.signal("letter", "signal-plaintext")
    await run.result()
    failed = await engine.start(fail, "input-plaintext", id="failed")
    with pytest.raises(RunFailedError, match="failure-plaintext"):
        await failed.result()
    return [await all_events(run), await all_events(failed)]


async def test_no_byte_on_the_disk_shows_what_was_recorded(path: Path, gates: Gates, folder: Path) -> None:
    """Rows, files, logs, digests and reasons; while the engine is open and after it closed."""
    async with open_engine(path, gates, BOTH, ManualClock()) as engine:
        await engine.schedule(tell, "scheduled-plaintext", id="nightly", cron="0 3 * * *")
        events = await lived_through(engine)
        while_open = everything_in(folder)
        assert "result-plaintext input-plaintext" in {event.data for event in events[0]}
        assert (await (await engine.get("failed")).describe()).reason.endswith(
            "failure-plaintext input-plaintext"
        )
    for written in (while_open, everything_in(folder)):
        assert b"plaintext" not in written
        assert b"ValueError" in written  # the reason of a failed run tells its type
    with sqlite3.connect(path) as connection:
        reasons = connection.execute("SELECT reason FROM runs ORDER BY number").fetchall()
        digests = connection.execute("SELECT digest FROM runs").fetchall()
    connection.close()
    assert reasons == [("",), ("ValueError",)]
    assert all(digest.startswith(SEALED) for (digest,) in digests)


async def test_without_encryption_the_same_bytes_are_plain(path: Path, gates: Gates, folder: Path) -> None:
    """So the test before this one looks in the right places."""
    async with open_engine(path, gates, None, ManualClock()) as engine:
        await engine.schedule(tell, "scheduled-plaintext", id="nightly", cron="0 3 * * *")
        await lived_through(engine)
    written = everything_in(folder)
    for kind in (
        "input",
        "result",
        "large",
        "progress",
        "published",
        "signal",
        "failure",
        "output",
        "scheduled",
    ):
        assert f"{kind}-plaintext".encode() in written


async def test_who_has_the_keys_reads_everything(path: Path, gates: Gates) -> None:
    """The engine after a restart, with the new key first, and the command line beside it."""
    async with open_engine(path, gates, OLD) as engine:
        events = await lived_through(engine)
    async with open_engine(path, gates, BOTH) as engine:
        told, failed = await engine.get("told"), await engine.get("failed")
        assert [await all_events(told), await all_events(failed)] == events
        assert await told.result() == "output-plaintext signal-plaintext"
        assert (await failed.describe()).reason.endswith("failure-plaintext input-plaintext")
        with JournalReader(path, encryption=BOTH) as reader:
            assert list(reader.events("told")) == events[0]
            assert reader.describe("failed") == await failed.describe()
            assert [view.name for view in reader.steps("failed")] == ["refuse"]


async def test_who_has_no_key_reads_what_runs_there_are_and_which_key_is_missing(
    path: Path, gates: Gates
) -> None:
    """Names, statuses and times are not encrypted."""
    async with open_engine(path, gates, OLD) as engine:
        await lived_through(engine)
    for encryption in (None, NEW):
        with JournalReader(path, encryption=encryption) as reader:
            assert [info.id for info in reader.list(status=[Status.FAILED])] == ["failed"]
            assert "plaintext" not in reader.describe("failed").reason
            with pytest.raises(UnreadableError, match=r"entry 1 .* encrypted with key '2025'"):
                reader.events("told")


async def test_a_run_goes_on_under_a_new_key(path: Path, gates: Gates) -> None:
    """What it recorded before is read with the old one; what it records from now on is not."""
    async with open_engine(path, gates, OLD) as engine:
        run = await engine.start(wait, "hello", id="one")
        await gates.reached("gate")
    gates.open("gate")
    async with open_engine(path, gates, BOTH) as engine:
        assert await (await engine.get(run.id)).result() == "result-plaintext hello"
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT data FROM entries WHERE length(data) ORDER BY offset").fetchall()
    connection.close()
    keys = [data[2 : 2 + data[1]] for (data,) in rows]
    assert keys == [b"2025"] * keys.count(b"2025") + [b"2026"] * keys.count(b"2026")
    assert set(keys) == {b"2025", b"2026"}


@pytest.mark.parametrize("encryption", [None, NEW])
async def test_a_run_whose_key_is_lost_is_stuck_and_heals_when_it_is_given_again(
    path: Path, gates: Gates, encryption: Encryption | None
) -> None:
    """It says which key; it is never lost, and no step runs again."""
    async with open_engine(path, gates, OLD) as engine:
        run = await engine.start(wait, "hello", id="one")
        await gates.reached("gate")
    async with open_engine(path, gates, encryption) as engine:
        run = await engine.get("one")
        with pytest.raises(MismatchError, match=r"encrypted with key '2025'.*give that key again"):
            await run.result()
        assert (await run.describe()).status is Status.STUCK
    gates.open("gate")
    async with open_engine(path, gates, BOTH) as engine:
        run = await engine.get("one")
        assert await run.result() == "result-plaintext hello"
        assert [view.attempt for view in await run.steps()] == [1, 2]


async def test_encryption_can_be_turned_on_for_a_file_that_has_runs(path: Path, gates: Gates) -> None:
    """They go on; what is recorded from then on is encrypted."""
    async with open_engine(path, gates, None) as engine:
        await engine.start(wait, "hello", id="one")
        await gates.reached("gate")
    gates.open("gate")
    async with open_engine(path, gates, NEW) as engine:
        run = await engine.start(wait, "hello", id="one")  # recognised by its digest from before
        assert await run.result() == "result-plaintext hello"
    with sqlite3.connect(path) as connection:
        [last] = connection.execute("SELECT data FROM entries ORDER BY offset DESC LIMIT 1").fetchone()
    connection.close()
    assert last.startswith(SEALED)


async def test_the_same_id_is_the_same_run_under_every_key(path: Path, gates: Gates) -> None:
    """Digests depend on a key, and are held against the one that made them."""
    gates.open("gate")
    async with open_engine(path, gates, OLD) as engine:
        await (await engine.start(wait, "hello", id="one")).result()
    async with open_engine(path, gates, BOTH) as engine:
        assert await (await engine.start(wait, "hello", id="one")).result() == "result-plaintext hello"
        with pytest.raises(ConflictError):
            await engine.start(wait, "other", id="one")
    async with open_engine(path, gates, NEW) as engine:
        with pytest.raises(UnreadableError, match="'2025'"):
            await engine.start(wait, "hello", id="one")


@pytest.mark.parametrize(
    "tamper",
    [
        "data = CAST(substr(data, 1, length(data) - 1) || x'00' AS BLOB) WHERE offset = 1",
        "data = (SELECT data FROM entries WHERE stream = 2 AND offset = 1) WHERE stream = 1 AND offset = 1",
        "data = (SELECT data FROM entries WHERE stream = 1 AND offset = 4) WHERE stream = 1 AND offset = 1",
        "data = substr(data, 1, 20) WHERE offset = 4",
    ],
    ids=["changed", "from another run", "from another entry", "cut"],
)
async def test_a_row_that_was_tampered_with_makes_its_run_stuck(
    path: Path, gates: Gates, tamper: str
) -> None:
    """It says which entry; the workflow gets nothing that it did not record there."""
    async with open_engine(path, gates, NEW) as engine:
        for name in ("one", "two"):
            await engine.start(wait, f"hello {name}", id=name)
        await gates.reached("gate")
        while len(gates.calls) < 2:
            await engine._services.loop.create_task(_turn())  # type: ignore[union-attr]  # it is open
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE entries SET {tamper}")  # noqa: S608  # constants alone
    connection.close()
    async with open_engine(path, gates, NEW) as engine:
        with pytest.raises(
            MismatchError, match=r"entry [14] \(.*\) cannot be read: an encrypted value was changed"
        ):
            await (await engine.get("one")).result()


async def _turn() -> None:
    """Let the loop go on."""


async def test_a_fork_is_sealed_for_itself(path: Path, gates: Gates) -> None:
    """What it takes over is not copied byte for byte, since a row opens in its own run alone."""
    async with open_engine(path, gates, OLD) as engine:
        await engine.start(wait, "hello", id="one")
        await gates.reached("gate")
        await (await engine.get("one")).cancel()
    gates.open("gate")
    async with open_engine(path, gates, BOTH) as engine:
        fork = await (await engine.get("one")).fork(from_step="Gates.wait", id="two")
        assert await fork.result() == "result-plaintext hello"
    async with open_engine(path, gates, NEW) as engine:
        assert await (await engine.get("two")).result() == "result-plaintext hello"


async def test_a_schedule_starts_runs_from_its_encrypted_input_and_heals_like_a_run(
    path: Path, gates: Gates
) -> None:
    """Without its key it is stuck, and says so."""
    clock = ManualClock()
    async with open_engine(path, gates, OLD, clock) as engine:
        await engine.schedule(fail, "hello", id="often", cron="* * * * *")
        await clock.advance(minutes=1)
        assert len(await engine.list()) == 1
    async with open_engine(path, gates, NEW, clock) as engine:
        await clock.advance(minutes=1)
        [info] = await engine.schedules()
        assert "encrypted with key '2025'" in info.reason
    async with open_engine(path, gates, BOTH, clock) as engine:
        await clock.advance(minutes=1)
        runs = await engine.list()
        assert len(runs) > 1
        assert (await (await engine.get(runs[0].id)).describe()).reason.endswith("failure-plaintext hello")


@workflow
async def parent(ctx: Context, text: str) -> str:
    """Wait, and have a child tell something."""
    await ctx.receive("go")
    told: str = await ctx.child(child, text, id="child")
    return f"parent of {told}"


@workflow
async def child(ctx: Context, text: str) -> str:
    """Begin anew, then tell."""
    said = await ctx.run(echo, text)
    if text == "first":
        ctx.continue_as("second")
    return said


async def test_children_and_new_histories_are_sealed_too(path: Path, folder: Path) -> None:
    """And their parents read them."""
    async with EmbeddedEngine(path, workflows=[parent, child], steps=[echo], encryption=OLD) as engine:
        run = await engine.start(parent, "first", id="parent")
        await run.signal("go")
        assert await run.result() == "parent of result-plaintext second"
    assert b"plaintext" not in everything_in(folder)


async def test_a_parent_whose_childs_outcome_has_lost_its_key_is_stuck_and_heals(path: Path) -> None:
    """The child is done and its outcome is read again once the key is back."""
    engine = EmbeddedEngine(path, workflows=[parent, child], steps=[echo], encryption=OLD)
    async with engine:
        await (await engine.start(child, "other", id="child")).result()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE runs SET parent = 2")
    connection.close()
    async with EmbeddedEngine(path, workflows=[parent, child], steps=[echo], encryption=NEW) as engine:
        run = await engine.start(parent, "other", id="parent")
        await run.signal("go")
        with pytest.raises(MismatchError, match=r"outcome of child run child cannot be read.*key '2025'"):
            await run.result()
    async with EmbeddedEngine(path, workflows=[parent, child], steps=[echo], encryption=BOTH) as engine:
        assert await (await engine.get("parent")).result() == "parent of result-plaintext other"


@workflow
async def cling(ctx: Context) -> None:
    """Take no notice of a cancel."""
    try:
        await ctx.receive("never")
    except asyncio.CancelledError:
        await ctx.receive("never")


async def test_a_deadline_of_a_cancel_is_read_back(path: Path) -> None:
    """A run that is to be ended by force is, by the next engine too, though the deadline is sealed."""
    clock = ManualClock()
    async with EmbeddedEngine(path, workflows=[cling], encryption=NEW, clock=clock) as engine:
        await (await engine.start(cling, id="run")).cancel(force_after=60)
    async with EmbeddedEngine(path, workflows=[cling], encryption=NEW, clock=clock) as engine:
        run = await engine.get("run")
        assert (await run.describe()).status is Status.WAITING
        await clock.advance(minutes=1)
        assert (await run.describe()).status is Status.TERMINATED


def test_an_encryption_shows_no_key(path: Path) -> None:
    """Neither in a repr nor in what watchers see."""
    engine = EmbeddedEngine(path, encryption=NEW)
    assert engine._rules.redactor.text(f"the key is {NEW.secrets[0]}") == "the key is ***"

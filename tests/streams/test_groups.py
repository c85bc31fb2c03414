"""What the embedded groups promise beyond the contract: the disk, the clock, and very many entries."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from orchestrator import EmbeddedEngine
from orchestrator.core.errors import NotFoundError
from orchestrator.journal import Statement
from orchestrator.journal.errors import JournalClosedError, JournalError
from orchestrator.streams import DeadLetter, dead_letters
from support.stream_lab import EmbeddedLab, embedded, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.streams.groups import EmbeddedGroup

MANY = 100_000
AT_ONCE = 1_000
PATIENCE_S = 30


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[EmbeddedLab]:
    """Streams on a file."""
    async with embedded(tmp_path) as opened:
        yield opened


async def fill(lab: EmbeddedLab, count: int) -> None:
    """Append that many entries."""
    await asyncio.gather(*[lab.streams.append("work", "t", b"x") for _ in range(count)])


async def write(lab: EmbeddedLab, statement: Statement, value: int) -> None:
    """Write one row of one column."""
    commit = lab.journal.stage(statement, (value,))
    lab.journal.flush()
    await lab.journal.durable(commit)


async def with_read(lab: EmbeddedLab, count: int) -> EmbeddedGroup:
    """A group whose consumer ada holds that many entries."""
    await fill(lab, count)
    group = await lab.streams.group("work", "g")
    assert len(await group.read("ada", count)) == count
    return group


async def test_a_hundred_thousand_held_entries_are_settled(lab: EmbeddedLab) -> None:
    """They are read, kept through a restart, claimed once each, listed in pages, and acknowledged at once."""
    for _ in range(MANY // AT_ONCE):
        await fill(lab, AT_ONCE)
    group = await lab.streams.group("work", "g")
    while await group.read("ada", AT_ONCE, wait_s=0):
        pass
    await lab.restart()
    group = await lab.streams.group("work", "g")
    claimed: list[int] = []
    while got := await group.claim("bob", 0, AT_ONCE, held_by="ada"):
        claimed += [delivery.offset for delivery in got]
    assert claimed == list(range(1, MANY + 1))
    assert [held.offset for held in await group.pending(after=MANY - 2)] == [MANY - 1, MANY]
    assert await lab.streams.trim("work", keep=0) == 0
    assert await group.ack(*range(1, MANY)) == MANY - 1
    assert await lab.streams.trim("work", keep=0) == MANY - 1
    assert [held.offset for held in await group.pending()] == [MANY]


async def test_a_clock_that_was_set_back_holds_up_only_what_came_before(lab: EmbeddedLab) -> None:
    """What was handed out since then is claimed after its time, not after the hour that was taken back."""
    await with_read(lab, 1)
    lab.clock.set(lab.clock.now - 3_600)
    group = await with_read(lab, 1)
    await lab.pass_time(60)
    assert [delivery.offset for delivery in await group.claim("bob", 60)] == [2]
    assert [delivery.offset for delivery in await group.claim("cy", 0)] == [1, 2]


async def test_a_wait_ends_when_the_file_is_closed(lab: EmbeddedLab) -> None:
    """Whoever waits is told that the journal was closed, and so is whoever comes after."""
    group = await lab.streams.group("work", "g")
    reading = asyncio.create_task(group.read("ada"))
    await turns()
    await lab.journal.close()
    with pytest.raises(JournalClosedError):
        await reading
    with pytest.raises(JournalClosedError):
        await group.read("ada")


async def test_a_failed_write_hands_out_nothing(tmp_path: Path) -> None:
    """An entry whose delivery did not reach the disk was handed to nobody, and is read after the restart."""
    failing = False

    def fault(point: str) -> None:
        if failing and point == "after-write":
            raise OSError("input/output error")

    lab = EmbeddedLab(tmp_path / "streams.db", fault)
    await fill(lab, 1)
    group = await lab.streams.group("work", "g")
    failing = True
    with pytest.raises(JournalError, match="Restart"):
        await group.read("ada")
    failing = False
    await lab.restart()
    group = await lab.streams.group("work", "g")
    assert await group.pending() == []
    assert [(delivery.offset, delivery.count) for delivery in await group.read("bob")] == [(1, 1)]
    await lab.close()


async def test_what_a_cancelled_read_took_is_held_and_can_be_claimed(lab: EmbeddedLab) -> None:
    """As after a crash: it is not lost, and nobody gets it twice."""
    await fill(lab, 1)
    group = await lab.streams.group("work", "g")
    reading = asyncio.create_task(group.read("ada"))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await group.read("bob", wait_s=0) == []
    assert [delivery.count for delivery in await group.claim("bob", 0)] == [2]


async def test_what_is_settled_while_it_is_claimed_stays_settled(lab: EmbeddedLab) -> None:
    """A claim that had already looked does not bring back what was acknowledged or rejected since."""
    group = await with_read(lab, 4)
    claiming = asyncio.create_task(group.claim("bob", 0))
    await asyncio.sleep(0)
    rejecting = asyncio.create_task(group.reject(2, "why"))
    assert await group.ack(1) == 1
    assert await rejecting
    assert {delivery.offset for delivery in await claiming} >= {3, 4}
    assert {held.offset for held in await group.pending()} == {3, 4}
    assert await group.ack(1, 2) == 0


async def test_an_entry_is_a_dead_letter_once_however_many_bury_it(lab: EmbeddedLab) -> None:
    """Consumers who claim and reject the same entry at the same time make one dead letter of it."""
    await with_read(lab, 1)
    group = await lab.streams.group("work", "g", most_deliveries=1)
    await asyncio.gather(*[group.claim("bob", 0) for _ in range(5)], group.reject(1, "why"))
    assert len(await lab.streams.read(dead_letters("work"))) == 1


@pytest.fixture
def disk() -> threading.Event:
    """Set while the disk answers."""
    answering = threading.Event()
    answering.set()
    return answering


@pytest.fixture
async def slow_lab(tmp_path: Path, disk: threading.Event) -> AsyncIterator[EmbeddedLab]:
    """Streams on a disk that can be held up."""

    def fault(point: str) -> None:
        assert disk.wait(PATIENCE_S)

    lab = EmbeddedLab(tmp_path / "streams.db", fault)
    yield lab
    await lab.close()


async def test_reading_while_the_stream_is_deleted_leaves_nothing(
    slow_lab: EmbeddedLab, disk: threading.Event
) -> None:
    """From the moment at which a delete is on its way nothing is handed out."""
    await fill(slow_lab, 1)
    group = await slow_lab.streams.group("work", "g")
    disk.clear()
    deleting = asyncio.create_task(slow_lab.streams.delete("work"))
    await turns()
    with pytest.raises(NotFoundError, match="was deleted"):
        await group.read("ada")
    disk.set()
    await deleting
    assert slow_lab.journal.read("SELECT * FROM deliveries") == []


async def test_dead_letters_that_are_being_deleted_begin_anew(
    slow_lab: EmbeddedLab, disk: threading.Event
) -> None:
    """A letter that comes while its stream is deleted waits, and is the first of the new one."""
    lab = slow_lab
    group = await with_read(lab, 2)
    await group.reject(1, "why")
    disk.clear()
    deleting = asyncio.create_task(lab.streams.delete(dead_letters("work")))
    await turns()
    rejecting = asyncio.create_task(group.reject(2, "why"))
    await turns()
    await lab.journal.fetch("SELECT 1")  # after what the rejection reads
    await turns()
    disk.set()
    await asyncio.gather(deleting, rejecting)
    (letter,) = [DeadLetter.of(entry) for entry in await lab.streams.read(dead_letters("work"))]
    assert letter.entry.offset == 2


async def test_what_is_trimmed_while_a_group_is_opened_is_not_held(lab: EmbeddedLab) -> None:
    """What the file said a moment ago does not count."""
    await with_read(lab, 3)
    await lab.restart()
    opening = asyncio.create_task(lab.streams.group("work", "g"))
    await asyncio.sleep(0)
    assert await lab.streams.trim("work", before=3, unacknowledged=True) == 2
    assert await (await opening).ack(1, 2, 3) == 1


async def test_entries_that_are_not_there_any_more_are_passed_over(lab: EmbeddedLab) -> None:
    """Entries may be dropped from within a run's stream: nobody is handed them, or holds them for ever."""
    drop = Statement(9, "DELETE FROM entries WHERE offset IN ({rows})", 1)
    await fill(lab, 4)
    group = await lab.streams.group("work", "g")
    await write(lab, drop, 2)
    assert [delivery.offset for delivery in await group.read("ada", 2)] == [1]
    assert [delivery.offset for delivery in await group.read("ada", 2)] == [3, 4]
    assert [held.offset for held in await group.pending()] == [1, 3, 4]
    await write(lab, drop, 1)
    await write(lab, drop, 3)
    assert [delivery.offset for delivery in await group.claim("bob", 0, 1)] == [4]
    assert not await group.reject(1, "gone")
    assert [held.offset for held in await group.pending()] == [4]
    await write(lab, drop, 4)
    assert not await group.reject(4, "gone")
    assert await lab.streams.read(dead_letters("work")) == []


async def test_who_is_woken_and_goes_away_wakes_the_next(lab: EmbeddedLab) -> None:
    """The entry for which a reader was woken is not left lying when that reader is cancelled meanwhile."""
    group = await lab.streams.group("work", "g")
    reading = [asyncio.create_task(group.read(name)) for name in ("ada", "bob", "cy")]
    await turns()
    waiting = list(group._ledger._waiting)
    # Told of a commit after the group was, and before anyone who was woken can go on.
    woken: list[bool] = []

    def committed(_: object) -> None:
        woken.extend(each.done() for each in waiting)
        reading[0].cancel()

    lab.journal.listen(committed, committed)
    await lab.streams.append("work", "t", b"x")
    assert woken == [True, False, False]
    async with asyncio.timeout(PATIENCE_S):
        assert [delivery.offset for delivery in await reading[1]] == [1]
    assert reading[0].cancelled()
    assert not reading[2].done()
    reading[2].cancel()


async def test_who_gave_up_waiting_leaves_nothing_behind(lab: EmbeddedLab) -> None:
    """Neither after its time nor when it is cancelled."""
    group = await lab.streams.group("work", "g")
    reading = [asyncio.create_task(group.read("ada", wait_s=wait_s)) for wait_s in (5, 5, 60)]
    await turns()
    reading[2].cancel()
    await lab.pass_time(5)
    await asyncio.wait(reading)
    assert not group._ledger._waiting
    assert lab.clock.next_wake is None


async def test_an_engine_s_runs_and_groups_share_one_file(tmp_path: Path) -> None:
    """Deleting what a group reads leaves nothing of it in the engine's file."""
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[]) as engine:
        await engine.streams.append("orders", "placed", b"{}")
        group = await engine.streams.group("orders", "billing")
        await group.read("ada")
        await engine.streams.delete("orders")
        for table in ("streams", "entries", "consumer_groups", "deliveries"):
            assert engine.streams._journal.read(f"SELECT * FROM {table}") == []  # noqa: S608  # names of ours

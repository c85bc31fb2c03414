"""The contract of consumer groups, for every backend of streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from orchestrator.core.errors import InvalidInputError, NotFoundError
from orchestrator.streams import DeadLetter, dead_letters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.streams import Delivery, Streams
    from support.stream_lab import StreamLab

# Longer than any backend takes, shorter than pytest's own limit.
PATIENCE_S = 30
# A backend may have a clock of its own.
TOLERANCE_S = 20
UNUSUAL_NAMES = [
    "",
    " ",
    "a b",
    "ä/ö:*{}",
    "日本",
    "'; DROP TABLE streams; --",
    "x\0y",
    "x" * 10_000,
    "🂡",
    "%s",
]


async def fill(streams: Streams, count: int, stream: str = "work") -> None:
    """Append that many entries."""
    await asyncio.gather(*[streams.append(stream, "job", str(n).encode()) for n in range(1, count + 1)])


async def letters(streams: Streams, stream: str = "work") -> list[DeadLetter]:
    """The dead letters of a stream."""
    return [DeadLetter.of(entry) for entry in await streams.read(dead_letters(stream))]


def counts(deliveries: Sequence[Delivery]) -> list[tuple[int, int]]:
    """Offset and count of each."""
    return [(delivery.offset, delivery.count) for delivery in deliveries]


async def test_entries_are_shared_out_among_consumers(streams: Streams) -> None:
    """Each entry goes to one consumer, in order, exactly as it was written."""
    await streams.append("work", "made", b"\x00\xff", key="k")
    await fill(streams, 4)
    group = await streams.group("work", "g")
    ada, bob = await group.read("ada", 2), await group.read("bob", 100)
    assert counts(ada) == [(1, 1), (2, 1)]
    assert counts(bob) == [(3, 1), (4, 1), (5, 1)]
    assert [delivery.entry for delivery in ada + bob] == await streams.read("work")
    assert await group.read("ada", 2, wait_s=0) == []


async def test_groups_read_for_themselves(streams: Streams) -> None:
    """Every group gets every entry, whatever others did with it."""
    await fill(streams, 2)
    first, second = await streams.group("work", "first"), await streams.group("work", "second")
    await first.ack(*[delivery.offset for delivery in await first.read("ada")])
    assert counts(await second.read("ada")) == [(1, 1), (2, 1)]
    assert await streams.groups("work") == ["first", "second"]
    assert await streams.groups("other") == []


async def test_many_consumers_at_once_never_get_the_same(streams: Streams) -> None:
    """Twenty who read at the same time share the entries without one going to two or to none."""
    await fill(streams, 500)
    group = await streams.group("work", "g")

    async def consume(name: str) -> list[int]:
        seen: list[int] = []
        while deliveries := await group.read(name, 7, wait_s=0):
            seen += [delivery.offset for delivery in deliveries]
            await group.ack(*seen[-len(deliveries) :])
        return seen

    seen = await asyncio.gather(*[consume(f"c{n}") for n in range(20)])
    assert sorted(offset for of_one in seen for offset in of_one) == list(range(1, 501))
    assert sum(bool(of_one) for of_one in seen) > 1
    assert await group.pending() == []


async def test_two_handles_are_one_group(streams: Streams) -> None:
    """Whoever opens a group again shares it with those who have it."""
    await fill(streams, 2)
    one, other = await asyncio.gather(streams.group("work", "g"), streams.group("work", "g"))
    assert counts(await one.read("ada", 1)) == [(1, 1)]
    assert counts(await other.read("ada", 5)) == [(2, 1)]
    assert await other.ack(1, 2) == 2
    assert await one.pending() == []


async def test_a_reader_waits_for_an_entry(stream_lab: StreamLab, streams: Streams) -> None:
    """Reading an empty stream waits, also for the first entry there ever is."""
    group = await streams.group("work", "g")
    reading = asyncio.create_task(group.read("ada"))
    await stream_lab.turns()
    assert not reading.done()
    await streams.append("work", "job", b"x")
    async with asyncio.timeout(PATIENCE_S):
        assert counts(await reading) == [(1, 1)]


async def test_entries_wake_all_who_are_needed(stream_lab: StreamLab, streams: Streams) -> None:
    """Three who wait for one entry each get one each out of three that come together."""
    group = await streams.group("work", "g")
    reading = [asyncio.create_task(group.read(f"c{n}", 1)) for n in range(3)]
    await stream_lab.turns()
    await fill(streams, 3)
    async with asyncio.timeout(PATIENCE_S):
        got = await asyncio.gather(*reading)
    assert sorted(delivery.offset for (delivery,) in got) == [1, 2, 3]


async def test_a_reader_that_gives_up_takes_nothing_with_it(stream_lab: StreamLab, streams: Streams) -> None:
    """An entry that comes after one who waited was cancelled goes to the next."""
    group = await streams.group("work", "g")
    reading = [asyncio.create_task(group.read(name)) for name in ("ada", "bob")]
    await stream_lab.turns()
    reading[0].cancel()
    await streams.append("work", "job", b"x")
    async with asyncio.timeout(PATIENCE_S):
        assert counts(await reading[1]) == [(1, 1)]
    assert reading[0].cancelled()


async def test_what_one_reader_leaves_goes_to_the_next(stream_lab: StreamLab, streams: Streams) -> None:
    """Many entries that come at once reach all who wait, however few each of them takes."""
    group = await streams.group("work", "g")
    reading = [asyncio.create_task(group.read(f"c{n}", 2)) for n in range(10)]
    await stream_lab.turns()
    await fill(streams, 20)
    async with asyncio.timeout(PATIENCE_S):
        got = await asyncio.gather(*reading)
    assert sorted(delivery.offset for of_one in got for delivery in of_one) == list(range(1, 21))


async def test_waiting_ends_after_its_time(stream_lab: StreamLab) -> None:
    """Nothing came: an empty list, once the time is over and not before."""
    group = await stream_lab.streams.group("work", "g")
    reading = asyncio.create_task(group.read("ada", wait_s=30))
    await stream_lab.turns()
    await stream_lab.pass_time(29)
    await stream_lab.turns()
    assert not reading.done()
    await stream_lab.pass_time(1.5)
    async with asyncio.timeout(PATIENCE_S):
        assert await reading == []


async def test_what_is_acknowledged_is_done(stream_lab: StreamLab) -> None:
    """It is no longer pending, cannot be claimed, and stays so through a restart."""
    await fill(stream_lab.streams, 3)
    group = await stream_lab.streams.group("work", "g")
    await group.read("ada")
    assert await group.ack(1, 3, 3, 99) == 2
    assert await group.ack(1) == 0
    assert await group.ack() == 0
    await stream_lab.restart()
    group = await stream_lab.streams.group("work", "g")
    assert [held.offset for held in await group.pending()] == [2]
    assert counts(await group.claim("bob", 0)) == [(2, 2)]
    assert await group.read("bob", wait_s=0) == []


async def test_what_was_not_read_cannot_be_acknowledged(streams: Streams) -> None:
    """An acknowledgement of an entry that nobody holds counts nothing, and the entry is still read."""
    await fill(streams, 1)
    group = await streams.group("work", "g")
    assert await group.ack(1) == 0
    assert not await group.reject(1, "why not")
    assert counts(await group.read("ada")) == [(1, 1)]


async def test_pending_tells_who_holds_what_since_when(stream_lab: StreamLab) -> None:
    """Offset, consumer, time of the last hand-out and count, in the order of offsets, in pages."""
    await fill(stream_lab.streams, 3)
    group = await stream_lab.streams.group("work", "g")
    began = stream_lab.now()
    await group.read("ada", 2)
    await stream_lab.pass_time(60)
    await group.read("bob", 1)
    assert counts(await group.claim("bob", 60, 1)) == [(1, 2)]
    held = await group.pending()
    assert [(one.offset, one.consumer, one.count) for one in held] == [
        (1, "bob", 2),
        (2, "ada", 1),
        (3, "bob", 1),
    ]
    since = [began + 60, began, began + 60]
    assert [one.since for one in held] == pytest.approx(since, abs=TOLERANCE_S)
    assert [held.offset for held in await group.pending(after=1, limit=1)] == [2]


async def test_a_restart_keeps_who_holds_what(stream_lab: StreamLab) -> None:
    """Position, holders, times and counts are those of before."""
    await fill(stream_lab.streams, 3)
    group = await stream_lab.streams.group("work", "g")
    await group.read("ada", 2)
    before = await group.pending()
    await stream_lab.restart()
    group = await stream_lab.streams.group("work", "g")
    assert await group.pending() == before
    assert await group.lag() == 1
    assert counts(await group.read("bob")) == [(3, 1)]


async def test_what_a_dead_consumer_held_is_claimed(stream_lab: StreamLab) -> None:
    """After the idle time somebody else takes it over, once, with its count one higher."""
    await fill(stream_lab.streams, 3)
    group = await stream_lab.streams.group("work", "g")
    await group.read("dead")
    await stream_lab.pass_time(59)
    assert await group.claim("ada", 60) == []
    await stream_lab.pass_time(1)
    ada, bob = await asyncio.gather(group.claim("ada", 60, 2), group.claim("bob", 60, 2))
    assert sorted(counts(ada + bob)) == [(1, 2), (2, 2), (3, 2)]
    assert [delivery.entry.data for delivery in ada] == [str(d.offset).encode() for d in ada]
    assert await group.claim("cy", 60) == []


async def test_a_late_acknowledgement_counts(stream_lab: StreamLab) -> None:
    """A slow consumer that was thought dead did the work after all: nobody else gets it again."""
    await fill(stream_lab.streams, 1)
    group = await stream_lab.streams.group("work", "g")
    await group.read("slow")
    assert counts(await group.claim("ada", 0)) == [(1, 2)]
    assert await group.ack(1) == 1
    assert await group.pending() == []
    assert await group.claim("bob", 0) == []


async def test_a_consumer_that_begins_anew_takes_its_own(stream_lab: StreamLab) -> None:
    """With ``held_by`` others keep what they hold, however long."""
    await fill(stream_lab.streams, 4)
    group = await stream_lab.streams.group("work", "g")
    await group.read("bob", 2)
    await group.read("ada", 2)
    await stream_lab.restart()
    group = await stream_lab.streams.group("work", "g")
    assert counts(await group.claim("ada", 0, held_by="ada")) == [(3, 2), (4, 2)]
    assert await group.claim("ada", 0, held_by="nobody") == []
    assert [held.consumer for held in await group.pending()] == ["bob", "bob", "ada", "ada"]


async def test_an_entry_that_kills_consumers_becomes_a_dead_letter(stream_lab: StreamLab) -> None:
    """It is handed out as often as the group says and no more; the others go on."""
    await stream_lab.streams.append("work", "poison", b"\n\x00bytes", key="k")
    await fill(stream_lab.streams, 1)
    (poison, _) = await stream_lab.streams.read("work")
    for count in range(1, 4):
        group = await stream_lab.streams.group("work", "g", most_deliveries=3)
        got = await group.claim("ada", 0) if count > 1 else await group.read("ada")
        assert counts(got)[0] == (1, count)
        await group.ack(2)
        await stream_lab.restart()
    group = await stream_lab.streams.group("work", "g", most_deliveries=3)
    assert await group.claim("bob", 0) == []
    assert await group.pending() == []
    (letter,) = await letters(stream_lab.streams)
    assert letter == DeadLetter(poison, "work", "g", "ada", 3, "handed out 3 times and never acknowledged")


async def test_claiming_gives_what_lives_behind_what_died(stream_lab: StreamLab) -> None:
    """Dead letters do not count against the limit: a claim gives nothing only when nothing is idle."""
    await fill(stream_lab.streams, 30)
    group = await stream_lab.streams.group("work", "g", most_deliveries=1)
    await group.read("ada", 29)
    patient = await stream_lab.streams.group("work", "g", most_deliveries=2)
    await patient.read("ada")
    assert counts(await patient.claim("bob", 0, held_by="ada", limit=10)) == [(n, 2) for n in range(1, 11)]
    assert await group.claim("bob", 0, held_by="bob") == []
    assert counts(await patient.claim("bob", 0, limit=20)) == [(n, 2) for n in range(11, 31)]
    assert [letter.entry.offset for letter in await letters(stream_lab.streams)] == list(range(1, 11))


async def test_a_rejected_entry_is_a_dead_letter_at_once(streams: Streams) -> None:
    """Poison that its consumer sees needs no further tries; the reason is kept, and it is acknowledged."""
    await fill(streams, 2)
    group = await streams.group("work", "g")
    _, second = await group.read("ada")
    assert await group.reject(2, "no JSON: \ud800")
    assert not await group.reject(2, "again")
    (letter,) = await letters(streams)
    assert letter == DeadLetter(second.entry, "work", "g", "ada", 1, "no JSON: \ud800")
    assert [held.offset for held in await group.pending()] == [1]


async def test_dead_letters_are_a_stream_like_any_other(streams: Streams) -> None:
    """They can be followed, and worked on by a group, whose own dead letters go one further."""
    await fill(streams, 1)
    group = await streams.group("work", "g")
    await group.read("ada")
    await group.reject(1, "why")
    mending = await streams.group(dead_letters("work"), "mend")
    (delivery,) = await mending.read("ada")
    assert DeadLetter.of(delivery.entry).entry.data == b"1"
    await mending.reject(delivery.offset, "still")
    (letter,) = await letters(streams, dead_letters("work"))
    assert letter.entry == delivery.entry
    with pytest.raises(InvalidInputError, match="no dead letter"):
        DeadLetter.of((await streams.read("work"))[0])


@pytest.mark.parametrize(("after", "offsets"), [(0, [1, 2, 3]), (2, [3]), (3, []), ("end", [])])
async def test_a_new_group_begins_where_it_is_told(streams: Streams, after: int, offsets: list[int]) -> None:
    """From the first entry on, above an offset, or with what comes from now on."""
    await fill(streams, 3)
    group = await streams.group("work", "g", after=after)
    assert await group.lag() == len(offsets)
    assert [delivery.offset for delivery in await group.read("ada", wait_s=0)] == offsets
    await streams.append("work", "job", b"4")
    assert counts(await group.read("ada")) == [(4, 1)]


async def test_a_group_that_exists_goes_on_where_it_is(streams: Streams) -> None:
    """Where to begin is for new groups alone."""
    await fill(streams, 3)
    await (await streams.group("work", "g")).read("ada", 1)
    group = await streams.group("work", "g", after="end")
    assert counts(await group.read("ada")) == [(2, 1), (3, 1)]


async def test_a_group_may_begin_before_its_stream(stream_lab: StreamLab) -> None:
    """A group of a stream without entries is kept through a restart, and gets the first entry."""
    await stream_lab.streams.group("work", "g", after="end")
    await stream_lab.restart()
    await stream_lab.streams.append("work", "job", b"x")
    group = await stream_lab.streams.group("work", "g", after="end")
    assert counts(await group.read("ada")) == [(1, 1)]


async def test_lag_counts_what_was_not_read(streams: Streams) -> None:
    """What is held does not count; what comes does."""
    group = await streams.group("work", "g")
    assert await group.lag() == 0
    await fill(streams, 5)
    assert await group.lag() == 5
    await group.read("ada", 3)
    assert await group.lag() == 2


async def test_trimming_spares_what_a_group_has_not_acknowledged(streams: Streams) -> None:
    """It stops before the first entry that some group has not read, or read and not acknowledged."""
    await fill(streams, 5)
    group = await streams.group("work", "g")
    assert await streams.trim("work", keep=0) == 0
    await group.read("ada", 4)
    await group.ack(1, 2, 4)
    assert await streams.trim("work", keep=0) == 2
    assert [entry.offset for entry in await streams.read("work")] == [3, 4, 5]
    await group.ack(3)
    assert await streams.trim("work", keep=0) == 2
    slow = await streams.group("work", "slow")
    await group.ack(*[delivery.offset for delivery in await group.read("ada")])
    assert await streams.trim("work", keep=0) == 0
    await slow.delete()
    assert await streams.trim("work", keep=0) == 1


async def test_what_is_trimmed_regardless_is_gone_for_groups(stream_lab: StreamLab) -> None:
    """Nobody holds it any more or is handed it; groups go on at the first entry that is left."""
    await fill(stream_lab.streams, 6)
    group = await stream_lab.streams.group("work", "g")
    behind = await stream_lab.streams.group("work", "behind")
    await group.read("ada", 4)
    assert await stream_lab.streams.trim("work", before=4, unacknowledged=True) == 3
    assert [held.offset for held in await group.pending()] == [4]
    assert await group.ack(1, 2, 3) == 0
    assert await behind.lag() == 3
    assert counts(await behind.read("ada", 1)) == [(4, 1)]
    assert await stream_lab.streams.trim("work", keep=0, unacknowledged=True) == 3
    await stream_lab.restart()
    for name in ("g", "behind"):
        group = await stream_lab.streams.group("work", name)
        assert (await group.pending(), await group.lag()) == ([], 0)
        assert await group.claim("bob", 0) == []
    await stream_lab.streams.append("work", "job", b"x")
    assert counts(await group.read("ada")) == [(7, 1)]


async def test_a_deleted_stream_takes_its_groups_with_it(stream_lab: StreamLab) -> None:
    """Who waits is told so; the name begins anew, without anything that was held; dead letters stay."""
    await fill(stream_lab.streams, 2)
    group = await stream_lab.streams.group("work", "g")
    await group.read("ada")
    await group.reject(1, "why")
    waiting = asyncio.create_task(group.read("bob"))
    await stream_lab.turns()
    await stream_lab.streams.delete("work")
    with pytest.raises(NotFoundError, match="was deleted"):
        await waiting
    with pytest.raises(NotFoundError, match="was deleted"):
        await group.ack(2)
    assert await stream_lab.streams.groups("work") == []
    await stream_lab.restart()
    await stream_lab.streams.append("work", "job", b"new")
    group = await stream_lab.streams.group("work", "g")
    assert await group.pending() == []
    assert counts(await group.read("ada")) == [(1, 1)]
    assert len(await letters(stream_lab.streams)) == 1


async def test_a_deleted_group_begins_anew(stream_lab: StreamLab) -> None:
    """The stream stays; old handles say what happened; nothing of the old group is left."""
    await fill(stream_lab.streams, 2)
    group = await stream_lab.streams.group("work", "g")
    await group.read("ada")
    waiting = asyncio.create_task(group.read("bob"))
    await stream_lab.turns()
    await asyncio.gather(group.delete(), group.delete())
    for failing in (waiting, group.read("ada"), group.claim("ada", 0), group.pending(), group.lag()):
        with pytest.raises(NotFoundError, match="was deleted"):
            await failing
    assert await stream_lab.streams.groups("work") == []
    again = await stream_lab.streams.group("work", "g")
    assert await again.pending() == []
    assert counts(await again.read("ada")) == [(1, 1), (2, 1)]
    await group.delete()
    await stream_lab.restart()
    again = await stream_lab.streams.group("work", "g")
    assert [held.offset for held in await again.pending()] == [1, 2]


async def test_a_group_is_made_anew_while_it_is_deleted(streams: Streams) -> None:
    """Whoever asks for a group that is just being deleted gets a new one."""
    await fill(streams, 2)
    for _ in range(3):
        group = await streams.group("work", "g")
        await group.read("ada", 1)
        _, again = await asyncio.gather(group.delete(), streams.group("work", "g"))
        assert counts(await again.read("bob", 1)) == [(1, 1)]


async def test_unusual_names_are_only_names(stream_lab: StreamLab) -> None:
    """Streams, groups and consumers may be called anything, and are told apart by it."""
    for name in UNUSUAL_NAMES:
        await stream_lab.streams.append(name, name, b"1", key=name)
        group = await stream_lab.streams.group(name, name)
        (delivery,) = await group.read(name)
        assert (delivery.entry.type, delivery.entry.key) == (name, name)
    await stream_lab.restart()
    for name in UNUSUAL_NAMES:
        assert await stream_lab.streams.groups(name) == [name]
        group = await stream_lab.streams.group(name, name)
        assert [held.consumer for held in await group.pending()] == [name]
        assert await group.reject(1, name)
        (letter,) = await letters(stream_lab.streams, name)
        assert (letter.stream, letter.group, letter.consumer, letter.reason) == (name,) * 4


async def test_text_that_cannot_be_stored_is_refused_and_harms_nobody(streams: Streams) -> None:
    """A lone surrogate as a name fails there alone; everything else goes on."""
    group = await streams.group("work", "g")
    await fill(streams, 1)
    for failing in (
        streams.group("work", "\ud800"),
        streams.group("\ud800", "g"),
        group.read("\ud800"),
        group.claim("\ud800", 0),
        streams.append("\ud800", "job", b""),
        streams.append("work", "\ud800", b""),
        streams.append("new", "job", b"", key="\ud800"),
    ):
        with pytest.raises(UnicodeEncodeError):
            await failing
    assert counts(await group.read("ada")) == [(1, 1)]
    assert await streams.append("new", "job", b"") == 1


async def test_what_cannot_be_is_refused(streams: Streams) -> None:
    """Limits and deliveries begin at one, offsets at zero, and none is larger than can be stored."""
    group = await streams.group("work", "g")
    for failing in (
        group.read("ada", 0),
        group.claim("ada", 0, -1),
        group.pending(limit=0),
        streams.group("work", "g", most_deliveries=0),
        streams.group("work", "other", after=-1),
        streams.group("work", "other", after=2**63),
    ):
        with pytest.raises(InvalidInputError):
            await failing
    assert await streams.groups("work") == ["g"]


async def test_no_call_gives_more_than_a_page(streams: Streams) -> None:
    """Whatever the limit, a thousand at most are handed out, claimed or listed at once."""
    await fill(streams, 1_500)
    group = await streams.group("work", "g")
    assert len(await group.read("ada", 10**9)) == 1_000
    assert len(await group.read("ada", 10**9)) == 500
    assert len(await group.claim("bob", 0, 10**9, held_by="ada")) == 1_000
    assert len(await group.pending(limit=10**9)) == 1_000

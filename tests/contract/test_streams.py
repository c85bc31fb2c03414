"""The contract of the streams port, for every backend."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import InvalidInputError, NotFoundError
from orchestrator.streams import Entry, NewEntry
from support.stream_lab import embedded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.streams import Streams
    from support.stream_lab import StreamLab

# Longer than any backend takes, shorter than pytest's own limit.
PATIENCE_S = 30


async def first(count: int, entries: AsyncIterator[Entry]) -> list[Entry]:
    """That many entries of a stream that never ends."""
    found: list[Entry] = []
    async with aclosing(entries) as open_entries:  # type: ignore[type-var]  # an async generator
        async for entry in open_entries:
            found.append(entry)
            if len(found) == count:
                break
    return found


async def test_only_bytes_are_appended(streams: Streams) -> None:
    """Text would come back as text from one backend and as bytes from another."""
    text: Any = "one"
    with pytest.raises(TypeError, match="takes bytes, and was given str; encode it first"):
        await streams.append("a", "made", text)
    assert await streams.read("a") == []


async def test_entries_are_read_back_exactly_as_written(streams: Streams) -> None:
    """Type, key and bytes survive; offsets begin at 1."""
    assert await streams.append("a", "made", b'{"x": "\xc3\xa9"}', key="k") == 1
    (entry,) = await streams.read("a")
    assert (entry.offset, entry.type, entry.key, entry.data) == (1, "made", "k", b'{"x": "\xc3\xa9"}')


async def test_offsets_have_no_gaps_whoever_appends(streams: Streams) -> None:
    """Concurrent appends to one stream get consecutive offsets, one each."""
    offsets = await asyncio.gather(*[streams.append("a", "t", str(n).encode()) for n in range(50)])
    assert sorted(offsets) == list(range(1, 51))
    assert [entry.offset for entry in await streams.read("a")] == list(range(1, 51))


async def test_streams_do_not_mix(streams: Streams) -> None:
    """Each stream counts for itself."""
    await streams.append("a", "t", b"1")
    await streams.append("b", "t", b"2")
    assert [entry.data for entry in await streams.read("b")] == [b"2"]


async def test_reading_goes_on_from_an_offset_in_pages(streams: Streams) -> None:
    """``after`` is exclusive, ``limit`` bounds the page."""
    for number in range(5):
        await streams.append("a", "t", str(number).encode())
    assert [entry.offset for entry in await streams.read("a", after=2, limit=2)] == [3, 4]


async def test_an_unknown_stream_is_empty(streams: Streams) -> None:
    """Reading what nobody wrote is no error."""
    assert await streams.read("nothing") == []


async def test_the_last_offset_is_known_also_when_its_entry_is_gone(streams: Streams) -> None:
    """So a follower can begin with what comes from now on."""
    assert await streams.last("a") == 0
    for number in range(3):
        await streams.append("a", "t", str(number).encode())
    assert await streams.last("a") == 3
    await streams.trim("a", keep=0)
    assert await streams.last("a") == 3
    await streams.delete("a")
    assert await streams.last("a") == 0


async def test_following_gives_what_is_there_and_then_what_comes(streams: Streams) -> None:
    """A follower sees old and new entries once, in order."""
    await streams.append("a", "t", b"old")
    following = asyncio.create_task(first(3, streams.follow("a")))
    await streams.append("a", "t", b"new")
    await streams.append("a", "t", b"newer")
    assert [entry.data for entry in await following] == [b"old", b"new", b"newer"]


async def test_following_may_begin_before_the_first_entry(streams: Streams) -> None:
    """A stream can be followed that nobody has written yet."""
    following = asyncio.create_task(first(1, streams.follow("later")))
    await asyncio.sleep(0)
    await streams.append("later", "t", b"x")
    assert [entry.offset for entry in await following] == [1]


async def test_many_followers_see_the_same(streams: Streams) -> None:
    """Every follower gets every entry."""
    following = [asyncio.create_task(first(20, streams.follow("a"))) for _ in range(10)]
    for number in range(20):
        await streams.append("a", "t", str(number).encode())
    for seen in await asyncio.gather(*following):
        assert [entry.offset for entry in seen] == list(range(1, 21))


async def test_a_slow_follower_misses_nothing(streams: Streams) -> None:
    """One who falls thousands behind still gets every entry once, in order."""
    entries = streams.follow("a")
    await streams.append("a", "t", b"0")
    seen = [(await anext(entries)).offset]
    await asyncio.gather(*[streams.append("a", "t", b"x") for _ in range(3_000)])
    async for entry in entries:
        seen.append(entry.offset)
        if entry.offset == 3_001:
            break
    assert seen == list(range(1, 3_002))


async def test_a_deleted_stream_begins_anew(streams: Streams) -> None:
    """Deleting forgets every entry, and the name is free again."""
    await streams.append("a", "t", b"x")
    await streams.delete("a")
    assert await streams.read("a") == []
    assert await streams.append("a", "t", b"y") == 1


async def test_deleting_what_is_not_there_is_no_error(streams: Streams) -> None:
    """Deleting twice is the same as once."""
    await streams.delete("never")


async def fill(streams: Streams, count: int) -> None:
    """Append entries whose data are their offsets."""
    for number in range(1, count + 1):
        await streams.append("a", "t", str(number).encode())


async def offsets(streams: Streams) -> list[int]:
    """What there is."""
    return [entry.offset for entry in await streams.read("a")]


async def test_entries_are_removed_wherever_they_are(streams: Streams) -> None:
    """Those that are there count; the others keep their offsets, and a key that went may come again."""
    for number in range(1, 6):
        await streams.append("a", "t", b"x", key=f"k{number}")
    assert await streams.remove("a", [2, 4, 4, 99]) == 2
    assert await streams.remove("a", [2, 4]) == 0
    assert await offsets(streams) == [1, 3, 5]
    assert [entry.offset for entry in await first(3, streams.follow("a"))] == [1, 3, 5]
    assert await streams.append("a", "t", b"x", key="k1", once=True) == 1
    assert await streams.append("a", "t", b"x", key="k2", once=True) == 6
    assert await streams.remove("never", [1]) == 0
    with pytest.raises(InvalidInputError, match=r"10,000 offsets at most"):
        await streams.remove("a", range(10_001))


async def test_the_offset_of_a_removed_last_entry_is_not_used_again(stream_lab: StreamLab) -> None:
    """Through a restart either, and a group that comes later is handed what there is."""
    await fill(stream_lab.streams, 3)
    assert await stream_lab.streams.remove("a", [1, 3]) == 2
    await stream_lab.restart()
    assert await stream_lab.streams.append("a", "t", b"4") == 4
    assert await stream_lab.streams.remove("a", [4]) == 1
    assert await stream_lab.streams.append("a", "t", b"5") == 5
    group = await stream_lab.streams.group("a", "g")
    reads = [await group.read("c", limit=3, wait_s=0) for _ in range(2)]
    seen = [delivery.entry.offset for deliveries in reads for delivery in deliveries]
    assert seen == [2, 5]


async def test_trimming_passes_over_what_was_removed(streams: Streams) -> None:
    """More than one commit takes, with a hole in the midst."""
    await asyncio.gather(*[streams.append("a", "t", b"x") for _ in range(2_500)])
    await streams.remove("a", range(400, 1_400))
    await streams.trim("a", keep=1)
    assert await offsets(streams) == [2_500]


async def test_trimming_keeps_the_last_entries(streams: Streams) -> None:
    """``keep`` says how many stay; trimming again has nothing to do."""
    await fill(streams, 5)
    assert await streams.trim("a", keep=2) == 3
    assert await offsets(streams) == [4, 5]
    assert await streams.trim("a", keep=2) == 0


async def test_trimming_keeps_what_is_not_before(streams: Streams) -> None:
    """``before`` is the first offset that stays."""
    await fill(streams, 5)
    assert await streams.trim("a", before=4) == 3
    assert await offsets(streams) == [4, 5]
    assert await streams.trim("a", before=2) == 0
    assert await streams.trim("a", before=0) == 0


async def test_a_fully_trimmed_stream_goes_on_counting(stream_lab: StreamLab) -> None:
    """Offsets are never used again, through a restart either."""
    await fill(stream_lab.streams, 3)
    assert await stream_lab.streams.trim("a", keep=0) == 3
    assert await offsets(stream_lab.streams) == []
    await stream_lab.restart()
    assert await stream_lab.streams.append("a", "t", b"4") == 4
    assert await stream_lab.streams.trim("a", before=1_000) == 1
    assert await stream_lab.streams.append("a", "t", b"5") == 5


async def test_a_follower_behind_the_trimmed_part_goes_on_at_the_first_kept(streams: Streams) -> None:
    """Whoever asks for what is gone gets what comes after it."""
    await fill(streams, 5)
    await streams.trim("a", keep=2)
    assert [entry.offset for entry in await first(2, streams.follow("a"))] == [4, 5]
    assert [entry.offset for entry in await streams.read("a", after=1, limit=1)] == [4]


async def test_a_follower_that_is_overtaken_by_a_trim_goes_on(streams: Streams) -> None:
    """Trimming everything while somebody follows loses nothing that comes afterwards."""
    entries = streams.follow("a")
    await fill(streams, 1)
    assert (await anext(entries)).offset == 1
    await fill(streams, 3)
    await streams.trim("a", keep=0)
    await streams.append("a", "t", b"5")
    seen = [(await anext(entries)).offset]
    while seen[-1] < 5:
        seen.append((await anext(entries)).offset)
    assert seen == sorted(set(seen))


async def test_trimming_long_streams_takes_all_of_it(streams: Streams) -> None:
    """However many entries go, they all go."""
    await asyncio.gather(*[streams.append("a", "t", b"x") for _ in range(2_500)])
    assert await streams.trim("a", keep=1) == 2_499
    assert await offsets(streams) == [2_500]


async def test_trimming_at_once_from_two_sides_counts_each_entry_once(streams: Streams) -> None:
    """Two who trim do not both claim the same entries."""
    await asyncio.gather(*[streams.append("a", "t", b"x") for _ in range(2_500)])
    assert sum(await asyncio.gather(*[streams.trim("a", keep=10) for _ in range(3)])) == 2_490
    assert await offsets(streams) == list(range(2_491, 2_501))


async def test_trimming_what_is_not_there_is_no_error(streams: Streams) -> None:
    """A stream that nobody has written has nothing to lose."""
    assert await streams.trim("never", keep=0) == 0


@pytest.mark.parametrize("wrong", [{}, {"keep": 1, "before": 1}, {"keep": -1}, {"before": -1}])
async def test_trimming_takes_one_measure(streams: Streams, wrong: dict[str, int]) -> None:
    """Neither, both or a negative one is refused with what is right."""
    with pytest.raises(InvalidInputError, match="either keep or before"):
        await streams.trim("a", keep=wrong.get("keep"), before=wrong.get("before"))


async def test_a_trimmed_stream_that_is_deleted_begins_at_one(streams: Streams) -> None:
    """A new stream of an old name counts anew."""
    await fill(streams, 3)
    await streams.trim("a", keep=0)
    await streams.delete("a")
    assert await streams.append("a", "t", b"x") == 1
    assert await offsets(streams) == [1]


async def test_an_entry_of_a_key_is_appended_once(stream_lab: StreamLab) -> None:
    """Whoever appends again, after a restart too, gets the offset of what is there, and nothing is added."""
    assert await stream_lab.streams.append("a", "t", b"1", key="k", once=True) == 1
    assert await stream_lab.streams.append("a", "t", b"2", key="other", once=True) == 2
    assert await stream_lab.streams.append("a", "t", b"again", key="k", once=True) == 1
    await stream_lab.restart()
    assert await stream_lab.streams.append("a", "t", b"again", key="k", once=True) == 1
    assert [entry.data for entry in await stream_lab.streams.read("a")] == [b"1", b"2"]
    assert await stream_lab.streams.append("b", "t", b"3", key="k", once=True) == 1


async def test_a_key_without_once_may_come_again(streams: Streams) -> None:
    """Then it is the last entry of the key that a repetition finds."""
    assert [await streams.append("a", "t", b"x", key="k") for _ in range(2)] == [1, 2]
    assert await streams.append("a", "t", b"y", key="k", once=True) == 2
    assert await offsets(streams) == [1, 2]


async def test_of_many_who_append_once_at_the_same_time_one_does(streams: Streams) -> None:
    """All of them are told the same offset."""
    found = await asyncio.gather(
        *[streams.append("a", "t", str(n).encode(), key="k", once=True) for n in range(20)]
    )
    assert found == [1] * 20
    assert await offsets(streams) == [1]


async def test_a_key_is_forgotten_with_its_entry(stream_lab: StreamLab) -> None:
    """What was trimmed or deleted can be appended again; what is left cannot."""
    for key in "xyz":
        await stream_lab.streams.append("a", "t", b"", key=key, once=True)
    assert await stream_lab.streams.trim("a", before=3) == 2
    assert await stream_lab.streams.append("a", "t", b"", key="z", once=True) == 3
    assert await stream_lab.streams.append("a", "t", b"", key="x", once=True) == 4
    await stream_lab.restart()
    assert await stream_lab.streams.append("a", "t", b"", key="y", once=True) == 5
    await stream_lab.streams.delete("a")
    assert await stream_lab.streams.append("a", "t", b"", key="z", once=True) == 1


async def test_a_trim_forgets_no_key_that_came_again(streams: Streams) -> None:
    """While one entry of a key is left, the key is known."""
    for _ in range(3):
        await streams.append("a", "t", b"", key="k")
    await streams.trim("a", keep=1)
    assert await streams.append("a", "t", b"", key="k", once=True) == 3
    await streams.trim("a", keep=0)
    assert await streams.append("a", "t", b"", key="k", once=True) == 4


async def test_once_takes_a_key(streams: Streams) -> None:
    """Without one nothing tells a repetition from something new."""
    with pytest.raises(InvalidInputError, match=r"once=True\) takes a key"):
        await streams.append("a", "t", b"", once=True)


async def test_entries_are_appended_together(stream_lab: StreamLab) -> None:
    """In order, with the offset of each; those that are to be there once and are, are left out."""
    assert await stream_lab.streams.append_all("a", []) == []
    await stream_lab.streams.append("a", "t", b"1", key="k")
    new = [
        NewEntry("t", b"again", "k", once=True),
        NewEntry("u", b"2", "l", once=True),
        NewEntry("t", b"again", "l", once=True),
        NewEntry("t", b"3", "k"),
        NewEntry("t", b"4"),
    ]
    assert await stream_lab.streams.append_all("a", new) == [1, 2, 2, 3, 4]
    assert await stream_lab.streams.append_all("a", new[:3]) == [3, 2, 2]
    await stream_lab.restart()
    entries = await stream_lab.streams.read("a")
    assert [(entry.type, entry.key, entry.data) for entry in entries] == [
        ("t", "k", b"1"),
        ("u", "l", b"2"),
        ("t", "k", b"3"),
        ("t", "", b"4"),
    ]


async def test_thousands_are_appended_together(streams: Streams) -> None:
    """Nobody else's entries come between them."""
    new = [NewEntry("t", str(n).encode()) for n in range(3_000)]
    one, other = await asyncio.gather(streams.append_all("a", new), streams.append_all("a", new))
    assert sorted([one, other]) == [list(range(1, 3_001)), list(range(3_001, 6_001))]


async def test_no_more_than_ten_thousand_are_appended_together(streams: Streams) -> None:
    """More would keep everyone else waiting; nothing of them is added."""
    assert (await streams.append_all("a", [NewEntry("t", b"")] * 10_000))[-1] == 10_000
    with pytest.raises(InvalidInputError, match="takes 10,000 entries at most, and was given 10,001"):
        await streams.append_all("a", [NewEntry("t", b"")] * 10_001)
    assert await streams.append("a", "t", b"") == 10_001


async def test_entries_that_cannot_be_appended_together_are_all_refused(streams: Streams) -> None:
    """One that is wrong keeps the others out."""
    text: Any = "text"
    for wrong, error in (
        (NewEntry("t", text), TypeError),
        (NewEntry("t", b"", once=True), InvalidInputError),
        (NewEntry("t", b"", key="\ud800"), UnicodeEncodeError),
    ):
        with pytest.raises(error):
            await streams.append_all("a", [NewEntry("t", b""), wrong])
    assert await offsets(streams) == []


async def test_a_stream_is_forgotten_when_nobody_appends(stream_lab: StreamLab) -> None:
    """Each append renews its time; then its entries, groups and keys are gone, as if it had been deleted."""
    streams = stream_lab.streams
    await streams.append("a", "t", b"1", key="k")
    await streams.group("a", "g")
    await streams.expire("a", 60)
    await stream_lab.pass_time(59)
    await streams.append("a", "t", b"2")
    await stream_lab.pass_time(59)
    assert await offsets(streams) == [1, 2]
    assert await streams.groups("a") == ["g"]
    await stream_lab.pass_time(1)
    assert await offsets(streams) == []
    assert await streams.groups("a") == []
    assert await streams.append("a", "t", b"3", key="k", once=True) == 1
    await stream_lab.pass_time(3_600)
    assert await offsets(streams) == [1]


async def test_a_stream_may_expire_that_nobody_has_written(stream_lab: StreamLab) -> None:
    """Its time begins when it is told, and holds for what comes."""
    streams = stream_lab.streams
    await streams.expire("a", 60)
    await stream_lab.pass_time(30)
    assert await streams.append("a", "t", b"1") == 1
    await stream_lab.pass_time(59)
    assert await offsets(streams) == [1]
    await stream_lab.pass_time(1)
    assert await streams.append("a", "t", b"2") == 1


async def test_an_expiry_is_taken_back_or_set_anew(stream_lab: StreamLab) -> None:
    """The last word counts, from the moment at which it was said."""
    streams = stream_lab.streams
    await streams.append("a", "t", b"1")
    await streams.expire("a", 60)
    await streams.expire("a", None)
    await stream_lab.pass_time(3_600)
    await streams.expire("a", 3_600)
    await streams.expire("a", 60)
    await stream_lab.pass_time(30)
    await streams.expire("a", 60)
    await stream_lab.pass_time(59)
    assert await offsets(streams) == [1]
    await stream_lab.pass_time(1)
    assert await offsets(streams) == []


@pytest.mark.parametrize("passed_s", [59.0, 60.0])
async def test_an_expiry_survives_a_restart(stream_lab: StreamLab, passed_s: float) -> None:
    """Its time goes on while nobody has the streams open."""
    await stream_lab.streams.append("a", "t", b"1")
    await stream_lab.streams.expire("a", 60)
    await stream_lab.pass_time(50)
    await stream_lab.restart()
    await stream_lab.pass_time(passed_s - 50)
    await stream_lab.restart()
    assert await offsets(stream_lab.streams) == ([1] if passed_s < 60 else [])


async def test_a_follower_of_an_expired_stream_ends(stream_lab: StreamLab) -> None:
    """As when it is deleted; a group says so too."""
    streams = stream_lab.streams
    await streams.append("a", "t", b"1")
    await streams.expire("a", 60)
    group = await streams.group("a", "g", after="end")
    entries = streams.follow("a")
    assert (await anext(entries)).offset == 1
    ending = asyncio.ensure_future(anext(entries, None))
    reading = asyncio.create_task(group.read("ada"))
    await stream_lab.turns()
    await stream_lab.pass_time(30)
    await streams.append("a", "t", b"2")
    async with asyncio.timeout(PATIENCE_S):
        assert await ending == Entry(2, stream_lab.now(), "t", "", b"2")
        assert [delivery.offset for delivery in await reading] == [2]
    ending = asyncio.ensure_future(anext(entries, None))
    reading = asyncio.create_task(group.read("ada"))
    await stream_lab.turns()
    await stream_lab.pass_time(60)
    async with asyncio.timeout(PATIENCE_S):
        assert await ending is None
        with pytest.raises(NotFoundError, match="was deleted"):
            await reading
    with pytest.raises(NotFoundError, match="was deleted"):
        await group.ack(2)


async def test_a_deleted_stream_takes_its_expiry_with_it(stream_lab: StreamLab) -> None:
    """A new stream of the name stays."""
    streams = stream_lab.streams
    await streams.append("a", "t", b"1")
    await streams.expire("a", 60)
    await streams.delete("a")
    await streams.append("a", "t", b"2")
    await stream_lab.pass_time(3_600)
    assert await offsets(streams) == [1]


@pytest.mark.parametrize("after_s", [0, -1, float("nan"), float("inf"), 1e16])
async def test_no_stream_expires_at_once_or_at_a_time_that_cannot_be(
    streams: Streams, after_s: float
) -> None:
    """The time must be one that can come."""
    with pytest.raises(InvalidInputError, match="cannot expire after"):
        await streams.expire("a", after_s)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=20)), max_size=30),
    after=st.integers(0, 12),
)
async def test_any_sequence_of_appends_is_read_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[str, bytes]], after: int
) -> None:
    """Whatever is appended in whatever order: each stream holds its own in order, from any offset."""
    async with embedded(tmp_path_factory.mktemp("streams")) as lab:
        for name, data in writes:
            await lab.streams.append(name, "t", data)
        for name in "abc":
            expected = [data for to, data in writes if to == name][after:]
            assert [entry.data for entry in await lab.streams.read(name, after=after)] == expected

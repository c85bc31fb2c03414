"""What streams in Redis promise when Redis, or the way to it, fails."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.streams import NewEntry, RedisStreams
from orchestrator.streams.redis.connection import ClosedError, patiently
from support.redis_server import own_redis_server
from support.stream_lab import RedisLab, on_redis
from support.wire import wire_to

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.streams import Delivery, Group, Streams
    from support.redis_server import RedisServer

PATIENCE_S = 60
# For a Redis that hangs; one that does not answers sooner on a machine that does much else, too.
SHORT_LIMIT_S = 1.0
ENTRIES = 600
KILLED_AT = (100, 250, 400)


async def append_all_of_them(streams: Streams) -> None:
    """Append each entry once, however often it must be tried."""
    for number in range(1, ENTRIES + 1):
        data = str(number).encode()
        offset = await patiently(lambda: streams.append("work", "job", data, key=data.decode(), once=True))  # noqa: B023  # awaited at once
        assert offset == number


async def kill_on_the_way(server: RedisServer, streams: Streams) -> list[int]:
    """Follow the stream, and end Redis in the midst of it, now with and now without a word."""
    seen: list[int] = []
    async with aclosing(streams.follow("work")) as entries:  # type: ignore[type-var]  # an async generator
        async for entry in entries:
            seen.append(entry.offset)
            if entry.offset in KILLED_AT:
                end = server.stop if entry.offset == KILLED_AT[0] else server.kill
                await asyncio.to_thread(end)
                await asyncio.to_thread(server.start)
            if entry.offset == ENTRIES:
                return seen
    raise AssertionError("the stream ended")


async def consume(group: Group, name: str, acknowledged: list[int]) -> list[Delivery]:
    """Read and acknowledge until all is done; what was acknowledged goes to the list that consumers share."""
    handed: list[Delivery] = []
    while len(set(acknowledged)) < ENTRIES:
        try:
            got = await group.read(name, 5, wait_s=0.2)
        except UnavailableError:
            # What this call may have taken is its consumer's.
            got = await patiently(lambda: group.claim(name, 0, held_by=name))
        handed += got
        for delivery in got:
            await patiently(lambda: group.ack(delivery.offset))  # noqa: B023  # awaited at once
            acknowledged.append(delivery.offset)
    return handed


async def test_nothing_is_lost_or_doubled_when_redis_is_killed(server: RedisServer) -> None:
    """Whoever appends, follows, reads and acknowledges meanwhile goes on where it was."""
    async with RedisStreams(server.url) as one, RedisStreams(server.url) as other:
        acknowledged: list[int] = []
        groups = [await streams.group("work", "g") for streams in (one, other)]
        async with asyncio.timeout(PATIENCE_S):
            _, seen, by_ada, by_bob = await asyncio.gather(
                append_all_of_them(one),
                kill_on_the_way(server, other),
                consume(groups[0], "ada", acknowledged),
                consume(groups[1], "bob", acknowledged),
            )
        assert seen == list(range(1, ENTRIES + 1))
        handed = sorted(delivery.offset for delivery in by_ada + by_bob)
        assert handed == list(range(1, ENTRIES + 1))
        assert await groups[0].pending() == []
        assert [int(entry.data) for entry in await one.read("work")] == seen


async def test_all_there_is_survives_a_kill(own_lab: RedisLab, server: RedisServer) -> None:
    """Entries, keys, groups, who holds what, and expiries; no offset is used again."""
    streams = own_lab.streams
    await streams.append_all("work", [NewEntry("job", b"", f"k{n}") for n in range(5)])
    group = await streams.group("work", "g")
    await group.read("ada", 3)
    await group.reject(2, "why")
    assert await streams.trim("work", before=2, unacknowledged=True) == 1
    await streams.expire("work", 60)
    before = await streams.read("work"), await streams.read("work.dead"), await group.pending()
    server.kill()
    server.start()
    assert (await streams.read("work"), await streams.read("work.dead"), await group.pending()) == before
    assert await group.lag() == 2
    assert await streams.append("work", "job", b"", key="k4", once=True) == 5
    assert await streams.append("work", "job", b"", key="k0", once=True) == 6
    await own_lab.pass_time(60)
    assert await streams.read("work") == []


async def test_a_call_says_that_redis_is_gone(own_lab: RedisLab, server: RedisServer) -> None:
    """All of them do, also those that wait in line, and work again once it is back."""
    group = await own_lab.streams.group("work", "g")
    server.stop()
    calls = [
        *[own_lab.streams.append("work", "job", b"") for _ in range(1_000)],
        own_lab.streams.read("work"),
        own_lab.streams.group("work", "g"),
        own_lab.streams.trim("work", keep=1),
        own_lab.streams.expire("work", 1),
        own_lab.streams.delete("work"),
        anext(own_lab.streams.follow("work")),
        group.read("ada", wait_s=0),
        group.read("ada"),
        group.ack(1),
        group.pending(),
        own_lab.streams.check(),
    ]
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, UnavailableError)
        assert f"Redis at 127.0.0.1:{server.port} cannot be reached" in error.message
    server.start()
    assert await own_lab.streams.append("work", "job", b"") == 1


async def test_a_call_to_a_redis_that_hangs_ends(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    """It is given up after the limit, which is shortened here."""
    monkeypatch.setattr("orchestrator.streams.redis.connection.ANSWER_LIMIT_S", SHORT_LIMIT_S)
    async with RedisStreams(server.url) as streams, Redis.from_url(server.url) as operator:
        await streams.append("work", "job", b"")
        await operator.client_pause(60_000)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(UnavailableError, match="cannot be reached"):
                await streams.append("work", "job", b"")
        server.kill()


async def test_who_waits_hears_what_came_while_redis_was_away(own_lab: RedisLab, server: RedisServer) -> None:
    """A follower and a reader go on by themselves when it is back, with what others wrote first."""
    streams = own_lab.streams
    group = await streams.group("work", "g")
    following = asyncio.ensure_future(anext(streams.follow("work")))
    reading = asyncio.create_task(group.read("ada"))
    await own_lab.turns()
    server.kill()
    server.start()
    async with on_redis(server.url) as stranger:
        await stranger.streams.append("other", "job", b"")
    other = own_lab.another()
    await other.append("work", "job", b"x")
    await other.close()
    async with asyncio.timeout(PATIENCE_S):
        assert (await following).offset == 1
        assert [delivery.offset for delivery in await reading] == [1]


async def test_a_stream_that_began_anew_while_redis_was_away_is_another(
    own_lab: RedisLab, server: RedisServer
) -> None:
    """Whoever followed the old one comes to its end, and the old group is gone."""
    streams = own_lab.streams
    await streams.append("work", "job", b"old")
    entries = streams.follow("work")
    assert (await anext(entries)).data == b"old"
    group = await streams.group("work", "g", after="end")
    following = asyncio.ensure_future(anext(entries, None))
    reading = asyncio.create_task(group.read("ada"))
    await own_lab.turns()
    server.kill()
    server.start()
    other = own_lab.another()
    await other.delete("work")
    await other.append_all("work", [NewEntry("job", b"new"), NewEntry("job", b"newer")])
    await other.close()
    async with asyncio.timeout(PATIENCE_S):
        assert await following is None
        with pytest.raises(NotFoundError, match="was deleted"):
            await reading


async def test_entries_whose_answer_was_lost_are_read_all_the_same(
    own_lab: RedisLab, server: RedisServer
) -> None:
    """They were handed out, and the connection broke: the same call gets them when it asks again, once."""
    async with wire_to(server.port) as wire:
        far = RedisStreams(f"redis://127.0.0.1:{wire.port}", clock=own_lab.clock, prefix=own_lab.prefix)
        group = await far.group("work", "g")
        await group.read("ada", wait_s=0)
        reading = asyncio.create_task(group.read("ada", 2))
        near = await own_lab.streams.group("work", "g")
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            await (await far._store.join("work")).confirmed.wait()
        await far.groups("work")
        wire.lose_the_answer_to(b"ada")
        await own_lab.streams.append_all("work", [NewEntry("job", b"x")] * 3)
        async with asyncio.timeout(PATIENCE_S):
            assert [(got.offset, got.count) for got in await reading] == [(1, 1), (2, 1)]
        assert [held.offset for held in await near.pending()] == [1, 2]
        assert [got.offset for got in await group.read("ada", 2)] == [3]
        await far.close()


async def test_an_append_whose_answer_was_lost_is_made_again_once(
    own_lab: RedisLab, server: RedisServer
) -> None:
    """Nobody sends it twice but the caller, who may, with ``once``."""
    async with wire_to(server.port) as wire:
        far = RedisStreams(f"redis://127.0.0.1:{wire.port}", clock=own_lab.clock, prefix=own_lab.prefix)
        await far.append("work", "job", b"1")
        wire.lose_the_answer_to(b"again")
        with pytest.raises(UnavailableError, match="is not known"):
            await far.append("work", "job", b"again", key="k", once=True)
        assert await far.append("work", "job", b"again", key="k", once=True) == 2
        assert [entry.offset for entry in await own_lab.streams.read("work")] == [1, 2]
        await far.close()


async def test_scripts_that_redis_forgot_are_loaded_again(own_lab: RedisLab, server: RedisServer) -> None:
    """Also in the middle of many calls, without one being made twice."""
    await own_lab.streams.append("work", "job", b"")
    async with Redis.from_url(server.url) as operator:
        await operator.script_flush()
    offsets = await asyncio.gather(*[own_lab.streams.append("work", "job", b"") for _ in range(50)])
    assert sorted(offsets) == list(range(2, 52))


async def test_no_call_overtakes_one_whose_script_redis_forgot(
    own_lab: RedisLab, server: RedisServer
) -> None:
    """What is asked first is done first, also where Redis knows only some of the scripts."""
    await own_lab.streams.read("work")
    async with own_lab.another() as another:
        appended, read = await asyncio.gather(another.append("work", "job", b""), another.read("work"))
    assert (appended, [entry.offset for entry in read]) == (1, [1])


async def fill_up(streams: Streams) -> int:
    """Append until Redis is full, and give the last offset."""
    appended: list[int] = []

    async def append_for_ever() -> None:
        while True:
            appended[:] = await streams.append_all("work", [NewEntry("job", b"x" * 10_000)] * 100)

    with pytest.raises(UnavailableError, match="is full"):
        await append_for_ever()
    return appended[-1]


async def test_a_full_redis_is_said_to_be_full(tmp_path: Path) -> None:
    """Nothing is half done, what is there can be read and acknowledged, and room makes it go on."""
    with own_redis_server(tmp_path, ("--maxmemory", "8mb", "--maxmemory-policy", "noeviction")) as server:
        async with RedisStreams(server.url) as streams:
            group = await streams.group("work", "g")
            await streams.append("work", "job", b"x" * 1_000)
            await group.read("ada")
            appended = await fill_up(streams)
            assert await streams.read("work", after=appended) == []
            assert await group.ack(1) == 1
            assert await streams.trim("work", keep=10, unacknowledged=True) == appended - 10
            assert await streams.append("work", "job", b"x") == appended + 1


async def test_a_replica_says_that_it_only_reads(tmp_path: Path) -> None:
    """And names what to do."""
    with own_redis_server(tmp_path, ("--replicaof", "127.0.0.1 1")) as server:
        async with RedisStreams(server.url) as streams:
            with pytest.raises(UnavailableError, match="a replica that only reads"):
                await streams.append("work", "job", b"")


async def test_who_waits_when_streams_are_closed_is_told_so(lab: RedisLab) -> None:
    """A follower and a reader end, and so does whoever comes after."""
    group = await lab.streams.group("work", "g")
    following = asyncio.ensure_future(anext(lab.streams.follow("work")))
    reading = asyncio.create_task(group.read("ada"))
    await lab.turns()
    await lab.streams.close()
    await lab.streams.close()
    for ending in (following, reading, lab.streams.append("work", "job", b"")):
        with pytest.raises(ClosedError):
            await ending


async def test_who_begins_to_wait_when_streams_are_closed_is_told_so(
    own_lab: RedisLab, server: RedisServer
) -> None:
    """Also while Redis is gone, and nothing else would tell."""
    server.stop()
    joining = asyncio.create_task(own_lab.streams._store.join("work"))
    await asyncio.sleep(0)
    await own_lab.streams.close()
    for ending in (joining, own_lab.streams._store.join("work")):
        with pytest.raises(ClosedError):
            await ending


async def test_who_waits_for_a_reply_is_told_though_closing_was_given_up(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    """Here because Redis hangs, and whoever closes does not wait so long."""
    monkeypatch.setattr("orchestrator.streams.redis.connection.ANSWER_LIMIT_S", SHORT_LIMIT_S)
    async with RedisStreams(server.url) as streams, Redis.from_url(server.url) as operator:
        await streams.append("work", "job", b"")
        await operator.client_pause(60_000)
        appending = asyncio.create_task(streams.append("work", "job", b""))
        await asyncio.sleep(0)
        closing = asyncio.create_task(streams.close())
        await asyncio.sleep(0)
        closing.cancel()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(UnavailableError, match="cannot be reached"):
                await appending
        assert closing.cancelled()
        server.kill()

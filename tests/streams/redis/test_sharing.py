"""What several processes do with the same streams, and very many entries."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from orchestrator.core.clock import SystemClock
from orchestrator.streams import DeadLetter, NewEntry, RedisStreams, dead_letters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.streams import Entry, Streams
    from support.stream_lab import RedisLab

TESTS = Path(__file__).parents[2]
PATIENCE_S = 60
MANY = 100_000
AT_ONCE = 1_000
FOLLOWERS = 200
# One for commands, one for news, and the one that asks.
CONNECTIONS = 3

# What each of two processes does: append all keys once, then work on what there is, and print what it did.
WORKER = """
import asyncio, sys
from orchestrator.streams import RedisStreams

async def main(url, prefix, name):
    async with RedisStreams(url, prefix=prefix) as streams:
        group = await streams.group("work", "g")
        print("open", flush=True)
        sys.stdin.readline()
        for n in range(300):
            assert await streams.append("work", "job", b"", key=str(n), once=True) == n + 1
        while got := await group.read(name, 3, wait_s=0):
            await group.ack(*[delivery.offset for delivery in got])
            print(*[delivery.offset for delivery in got], flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def other(lab: RedisLab) -> AsyncIterator[RedisStreams]:
    """The same streams, as another process has them."""
    async with lab.another() as streams:
        yield streams


async def followed(streams: Streams, count: int) -> list[Entry]:
    """The first entries of a stream."""
    found: list[Entry] = []
    async with aclosing(streams.follow("work")) as entries:  # type: ignore[type-var]  # an async generator
        async for entry in entries:
            found.append(entry)
            if len(found) == count:
                return found
    raise AssertionError("the stream ended")


async def test_of_two_who_append_once_one_does(lab: RedisLab, other: RedisStreams) -> None:
    """Each key is there once, and both are told where."""
    keys = [str(n) for n in range(100)]
    by_one, by_other = await asyncio.gather(
        *[
            asyncio.gather(*[streams.append("work", "job", b"", key=key, once=True) for key in keys])
            for streams in (lab.streams, other)
        ]
    )
    assert by_one == by_other
    assert [entry.offset for entry in await other.read("work")] == list(range(1, 101))


async def test_two_who_read_and_claim_share_the_entries(lab: RedisLab, other: RedisStreams) -> None:
    """Whatever they do at the same time, each entry goes to one of them."""
    await lab.streams.append_all("work", [NewEntry("job", b"")] * 500)
    groups = [await streams.group("work", "g") for streams in (lab.streams, other)]
    read = await asyncio.gather(*[group.read("dead", 7) for group in groups for _ in range(20)])
    held = sorted(delivery.offset for got in read for delivery in got)
    assert held == list(range(1, 281))
    claimed = await asyncio.gather(
        *[group.claim(f"c{n}", 0, 7, held_by="dead") for n, group in enumerate(groups * 20)]
    )
    assert sorted(delivery.offset for got in claimed for delivery in got) == held
    assert {delivery.count for got in claimed for delivery in got} == {2}


async def test_a_dead_letter_is_one_however_many_claim_it(lab: RedisLab, other: RedisStreams) -> None:
    """That an entry leaves its group and arrives among the dead is one step."""
    await lab.streams.append_all("work", [NewEntry("job", b"")] * 20)
    groups = [await streams.group("work", "g", most_deliveries=1) for streams in (lab.streams, other)]
    await groups[0].read("ada")
    await asyncio.gather(*[group.claim("bob", 0, 5) for group in groups for _ in range(5)])
    letters = [DeadLetter.of(entry) for entry in await other.read(dead_letters("work"))]
    assert sorted(letter.entry.offset for letter in letters) == list(range(1, 21))


async def test_who_waits_is_woken_by_another_process(lab: RedisLab, other: RedisStreams) -> None:
    """A follower and a reader here hear of what is appended there, and of the end of the stream."""
    group = await lab.streams.group("work", "g")
    following = asyncio.create_task(followed(lab.streams, 3))
    reading = asyncio.create_task(group.read("ada"))
    await lab.turns()
    await other.append_all("work", [NewEntry("job", b"")] * 3)
    async with asyncio.timeout(PATIENCE_S):
        assert [entry.offset for entry in await following] == [1, 2, 3]
        assert [delivery.offset for delivery in await reading] == [1, 2, 3]
    entries = lab.streams.follow("work", after=3)
    ending = asyncio.ensure_future(anext(entries, None))
    await lab.turns()
    await other.delete("work")
    async with asyncio.timeout(PATIENCE_S):
        assert await ending is None


@pytest.mark.acceptance
def test_two_processes_share_a_stream(redis_url: str, tmp_path: Path) -> None:
    """Real processes that begin at the same moment: each key once, each entry to one of them."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, redis_url, str(tmp_path), name],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("ada", "bob")
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "open\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    shares = [worker.communicate(timeout=PATIENCE_S)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(int(offset) for share in shares for offset in share) == list(range(1, 301))


async def test_a_hundred_thousand_entries(lab: RedisLab) -> None:
    """They are appended, followed, handed out, claimed, listed, acknowledged and trimmed, each once."""
    streams = lab.streams
    for start in range(0, MANY, AT_ONCE):
        new = [NewEntry("job", b"", str(start + n)) for n in range(AT_ONCE)]
        assert (await streams.append_all("work", new))[-1] == start + AT_ONCE
    assert [int(entry.key) for entry in await followed(streams, MANY)] == list(range(MANY))
    group = await streams.group("work", "g")
    while await group.read("ada", AT_ONCE, wait_s=0):
        pass
    await lab.pass_time(1)
    claimed: list[int] = []
    while got := await group.claim("bob", 0, AT_ONCE, held_by="ada"):
        claimed += [delivery.offset for delivery in got]
    assert claimed == list(range(1, MANY + 1))
    assert [held.offset for held in await group.pending(after=MANY - 2)] == [MANY - 1, MANY]
    assert await streams.trim("work", keep=0) == 0
    assert await group.ack(*range(1, MANY)) == MANY - 1
    assert await streams.trim("work", keep=0) == MANY - 1
    assert [held.offset for held in await group.pending()] == [MANY]
    assert await streams.append("work", "job", b"", key=str(MANY - 1), once=True) == MANY
    assert await streams.append("work", "job", b"", key="0", once=True) == MANY + 1


async def test_many_followers_share_two_connections(own_lab: RedisLab) -> None:
    """Watching costs Redis no connection each, and everyone sees everything."""
    following = [asyncio.create_task(followed(own_lab.streams, 50)) for _ in range(FOLLOWERS)]
    await own_lab.turns()
    for _ in range(50):
        await own_lab.streams.append("work", "job", b"x")
    async with asyncio.timeout(PATIENCE_S):
        for seen in await asyncio.gather(*following):
            assert [entry.offset for entry in seen] == list(range(1, 51))
    async with Redis.from_url(own_lab.url) as operator:
        assert len(await operator.client_list()) <= CONNECTIONS


async def test_bytes_of_all_kinds_come_back(lab: RedisLab) -> None:
    """Data is opaque, however large, and times are exact to the last bit."""
    data = [b"", bytes(range(256)), b"\r\n$5\r\n*1", b"\0" * 1_000_000]
    lab.clock.set(1_767_225_600.123456)
    await lab.streams.append_all("work", [NewEntry("job", each) for each in data])
    entries = await lab.streams.read("work")
    assert [entry.data for entry in entries] == data
    assert {entry.at for entry in entries} == {1_767_225_600.123456}


async def test_the_machines_clock_is_the_default(redis_url: str, lab: RedisLab) -> None:
    """Entries are dated by the clock of who appends them."""
    async with RedisStreams(redis_url, prefix=lab.prefix) as streams:
        before = SystemClock().time()
        await streams.append("work", "job", b"")
        (entry,) = await streams.read("work")
        assert before <= entry.at <= SystemClock().time()

"""One follower hands each event to its owner's subscribers, and to nobody else."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from orchestrator.core.errors import RateLimitedError, UnavailableError
from orchestrator.db import SYSTEM
from orchestrator.web.events import STREAM, Event, Feed, FellBehindError, NewEvent, Outbox
from orchestrator.web.events import feed as feed_module
from support.stream_lab import embedded, on_redis, turns
from support.tables import Tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.db.session import System
    from orchestrator.streams import Entry, Streams
    from support.stream_lab import StreamLab

PATIENCE_S = 30


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[StreamLab]:
    """A stream."""
    async with embedded(tmp_path) as lab:
        yield lab


@asynccontextmanager
async def following(feed: Feed) -> AsyncIterator[Feed]:
    """A feed at work."""
    task = asyncio.create_task(feed.follow())
    await turns()
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.wait([task])


async def tell(streams: Streams, owner: str, *numbers: int) -> None:
    """Put these of an owner's events into the stream."""
    for number in numbers:
        event = NewEvent("made", owner, {"number": number})
        data = f'{{"owner": "{owner}", "at": "2026-11-21T07:30:00Z", "data": {{"number": {number}}}}}'
        await streams.append(STREAM, event.type, data.encode(), key=event.id, once=True)


async def first(count: int, feed: Feed, to: str | System, after: int | None = None) -> list[object]:
    """The numbers of the first events that a subscriber gets."""
    found: list[object] = []
    async with asyncio.timeout(PATIENCE_S), aclosing(feed.events(to, after)) as events:
        async for event in events:
            found.append(event.data["number"])
            if len(found) == count:
                break
    return found


async def test_each_subscriber_gets_its_owners_new_events(lab: StreamLab) -> None:
    """In order; nothing from before, nothing of others; the service itself gets all."""
    await tell(lab.streams, "ann", 0)
    async with following(Feed(lambda: lab.streams)) as feed:
        listening = [
            asyncio.create_task(first(count, feed, to))
            for to, count in (("ann", 2), ("ann", 2), ("bob", 1), (SYSTEM, 3))
        ]
        await turns()
        await tell(lab.streams, "ann", 1)
        await tell(lab.streams, "bob", 2)
        await tell(lab.streams, "ann", 3)
        assert [await each for each in listening] == [[1, 3], [1, 3], [2], [1, 2, 3]]
        assert not feed._subscribed


async def test_who_comes_back_gets_what_it_missed_and_then_what_comes(lab: StreamLab) -> None:
    """Above the offset it names, its own events alone, each once, without a gap."""
    await tell(lab.streams, "ann", 1, 2)
    await tell(lab.streams, "bob", 3)
    await tell(lab.streams, "ann", 4)
    async with following(Feed(lambda: lab.streams)) as feed:
        coming_back = asyncio.create_task(first(4, feed, "ann", after=1))
        await turns()
        await tell(lab.streams, "ann", 5, 6)
        assert await coming_back == [2, 4, 5, 6]


async def test_a_replay_goes_through_many_pages(lab: StreamLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long somebody was away, and although others' events lie between."""
    read = lab.streams.read

    async def in_small_pages(stream: str, after: int = 0, limit: int = 0) -> list[Entry]:
        return await read(stream, after, min(limit or 2, 2))

    for number in range(10):
        await tell(lab.streams, "ann" if number % 3 == 0 else "bob", number)
    async with following(Feed(lambda: lab.streams)) as feed:
        monkeypatch.setattr(lab.streams, "read", in_small_pages)
        assert await first(4, feed, "ann", after=0) == [0, 3, 6, 9]


async def test_an_offset_that_was_trimmed_goes_on_with_what_is_left(lab: StreamLab) -> None:
    """Nobody waits for what is gone."""
    await tell(lab.streams, "ann", 1, 2, 3)
    await lab.streams.trim(STREAM, keep=1)
    async with following(Feed(lambda: lab.streams)) as feed:
        assert await first(1, feed, "ann", after=0) == [3]


async def test_an_offset_that_never_was_gets_what_comes(lab: StreamLab) -> None:
    """As after the stream was deleted, or where a client made it up."""
    await tell(lab.streams, "ann", 1)
    async with following(Feed(lambda: lab.streams)) as feed:
        listening = asyncio.create_task(first(1, feed, "ann", after=10**15))
        await turns()
        await tell(lab.streams, "ann", 2)
        assert await listening == [2]


async def test_who_does_not_keep_up_is_let_go_with_a_clear_end(
    lab: StreamLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns that it lost some; the others are not kept waiting, and its memory is bounded."""
    monkeypatch.setattr(feed_module, "MOST_WAITING", 3)
    async with following(Feed(lambda: lab.streams)) as feed:
        with feed.subscribed("ann") as slow:
            lively = asyncio.create_task(first(5, feed, "ann"))
            await turns()
            for number in range(5):
                await tell(lab.streams, "ann", number)
                await turns()
            assert await lively == [0, 1, 2, 3, 4]
            with pytest.raises(FellBehindError, match="say which one was your last"):
                await slow.next()


async def test_one_owner_cannot_listen_without_bound(lab: StreamLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others can all the same."""
    monkeypatch.setattr(feed_module, "MOST_EACH", 2)
    feed = Feed(lambda: lab.streams)
    with feed.subscribed("ann"), feed.subscribed("ann"):
        with pytest.raises(RateLimitedError, match="Close one"):
            feed.check_room("ann")
        feed.check_room("bob")
    feed.check_room("ann")


async def test_a_feed_goes_on_where_it_was_after_an_outage(lab: StreamLab) -> None:
    """Whoever runs it calls again, and no event is missing or comes twice."""
    is_away = False

    def streams() -> Streams:
        if is_away:
            raise UnavailableError("The stream is away.")
        return lab.streams

    feed = Feed(streams)
    async with following(feed):
        await tell(lab.streams, "ann", 1)
        await turns()
    with feed.subscribed("ann") as subscription:
        is_away = True
        with pytest.raises(UnavailableError):
            await feed.follow()
        await tell(lab.streams, "ann", 2, 3)
        is_away = False
        async with following(feed):
            got = [await subscription.next(), await subscription.next()]
    assert [event.data["number"] for event in got] == [2, 3]


async def test_who_comes_before_the_feed_has_begun_misses_nothing(lab: StreamLab) -> None:
    """As where the stream is away while the service starts."""
    feed = Feed(lambda: lab.streams)
    await tell(lab.streams, "ann", 1, 2)
    coming_back = asyncio.create_task(first(2, feed, "ann", after=1))
    await turns()
    async with following(feed):
        await tell(lab.streams, "ann", 3)
        assert await coming_back == [2, 3]


async def test_a_deleted_stream_begins_anew(lab: StreamLab) -> None:
    """Subscribers stay, and get what comes."""
    await tell(lab.streams, "ann", 1, 2)
    async with following(Feed(lambda: lab.streams)) as feed:
        listening = asyncio.create_task(first(1, feed, "ann"))
        await turns()
        await lab.streams.delete(STREAM)
        await turns()
        await tell(lab.streams, "ann", 3)
        assert await listening == [3]


async def test_what_is_no_event_is_passed_over(lab: StreamLab) -> None:
    """Somebody else's entry in a shared Redis stops nobody's events."""
    async with following(Feed(lambda: lab.streams)) as feed:
        listening = asyncio.create_task(first(1, feed, "ann"))
        await turns()
        await lab.streams.append(STREAM, "made", b"\xff{")
        await tell(lab.streams, "ann", 1)
        assert await listening == [1]


async def test_thousands_of_subscribers_cost_an_event_nothing(
    lab: StreamLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is read once, and handed to its owner's subscribers without a look at the others."""
    read, pushed = [], []
    event_of, push = Event.of, feed_module.Subscription.push

    def reading(entry: Entry) -> Event:
        read.append(entry.offset)
        return event_of(entry)

    def pushing(subscription: feed_module.Subscription, event: Event) -> None:
        pushed.append(event.owner)
        push(subscription, event)

    monkeypatch.setattr(Event, "of", reading)
    monkeypatch.setattr(feed_module.Subscription, "push", pushing)
    async with following(Feed(lambda: lab.streams)) as feed:
        everybody = [asyncio.create_task(first(1, feed, f"user-{number}")) for number in range(2_000)]
        await turns()
        await tell(lab.streams, "user-7", 1)
        assert await everybody[7] == [1]
        assert (read, pushed) == ([1], ["user-7"])
        for each in everybody:
            each.cancel()
        await asyncio.wait(everybody)
        assert not feed._subscribed


@pytest.mark.redis
async def test_processes_that_share_redis_hear_each_others_events(redis_url: str, tmp_path: Path) -> None:
    """One commits and relays, another one hands out; also what was missed, under the same offsets."""
    async with on_redis(redis_url) as lab, Tables(tmp_path / "tables.db").database() as database:
        outbox = Outbox(database, lambda: lab.streams, lab.clock)
        elsewhere = lab.another()
        try:
            async with following(Feed(lambda: elsewhere)) as feed:
                await feed.begun()
                hearing = asyncio.create_task(first(2, feed, "ann"))
                await turns()
                async with database.session("ann") as session:
                    for number in (1, 2):
                        outbox.add(session, NewEvent("made", "ann", {"number": number}))
                assert await outbox.relay() == 2
                assert await hearing == [1, 2]
                assert await first(1, feed, "ann", after=1) == [2]
        finally:
            await elsewhere.close()

"""Who waits for news of streams in Redis misses nothing, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.streams import NewEntry

if TYPE_CHECKING:
    import pytest

    from orchestrator.streams.redis.news import Channel
    from orchestrator.streams.redis.store import Page
    from support.stream_lab import RedisLab

PATIENCE_S = 30


def channel_of(lab: RedisLab) -> Channel:
    """What this process knows of the one stream it waits for."""
    (channel,) = lab.streams._store.news._channels.values()
    return channel


async def test_who_is_woken_and_goes_away_wakes_the_next(
    lab: RedisLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry for which a reader was woken is not left lying when that reader is cancelled meanwhile."""
    group = await lab.streams.group("work", "g")
    reading = [asyncio.create_task(group.read(name)) for name in ("ada", "bob", "cy")]
    await lab.turns()
    channel = channel_of(lab)
    tell = channel.appended

    def told(offset: int) -> None:
        tell(offset)
        reading[0].cancel()

    monkeypatch.setattr(channel, "appended", told)
    await lab.streams.append("work", "t", b"x")
    async with asyncio.timeout(PATIENCE_S):
        assert [delivery.offset for delivery in await reading[1]] == [1]
    assert reading[0].cancelled()
    assert not reading[2].done()
    reading[2].cancel()


async def test_groups_that_nobody_waits_for_leave_nothing_behind(lab: RedisLab) -> None:
    """However many there were of one stream."""
    for number in range(3):
        group = await lab.streams.group("work", f"g{number}")
        reading = asyncio.create_task(group.read("ada"))
        await lab.turns()
        assert len(channel_of(lab)._crowds) == 1
        reading.cancel()
        await asyncio.wait([reading])
    assert not channel_of(lab)._crowds


async def test_no_follower_gets_entries_of_a_later_stream_of_that_name(
    lab: RedisLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when what is new is read after the old one ended and before anybody heard of that."""
    entries = lab.streams.follow("work")
    for offset in (1, 2):  # from the second on, what is new is read once for all who follow
        following = asyncio.ensure_future(anext(entries))
        await lab.turns()
        await lab.streams.append("work", "job", b"old")
        assert (await following).offset == offset
    channel, news = channel_of(lab), lab.streams._store.news
    read, tell = channel._page, news._tell
    unheard: list[object] = []

    async def read_late(after: int) -> Page:
        monkeypatch.setattr(news, "_tell", unheard.append)
        await lab.streams.delete("work")
        await lab.streams.append_all("work", [NewEntry("job", b"new")] * 5)
        return await read(after)

    monkeypatch.setattr(channel, "_page", read_late)
    ending = asyncio.ensure_future(anext(entries, None))
    await asyncio.sleep(0)
    await lab.streams.append("work", "job", b"old")
    async with asyncio.timeout(PATIENCE_S):
        assert await ending is None
    for message in unheard:
        tell(message)


async def test_who_joins_and_is_cancelled_leaves_again(
    lab: RedisLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while Redis is asked for the stream's news: what nobody waits for is forgotten in the end."""
    store = lab.streams._store
    await store.news.leave(await store.join("other"))
    asked = asyncio.Event()

    async def ask_for_ever(command: str, stem: str) -> None:
        del command, stem
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store.news, "_send", ask_for_ever)
    joining = asyncio.create_task(store.join("work"))
    await asked.wait()
    joining.cancel()
    await asyncio.wait([joining])
    assert set(store.news._unused) == set(store.news._channels)

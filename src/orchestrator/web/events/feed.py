"""One follower of the stream of events for a whole process, and everyone who listens to their part of it."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import RateLimitedError, RetryableError
from orchestrator.db import SYSTEM
from orchestrator.web.events.event import STREAM, readable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from orchestrator.db.session import System
    from orchestrator.streams import Entry, Streams
    from orchestrator.web.events.event import Event

# A subscriber this far behind is let go, rather than held in memory for ever.
MOST_WAITING: Final = 256
MOST_EACH: Final = 100  # subscribers of one owner in this process
REPLAYED_AT_ONCE: Final = 4  # subscribers who read what they missed; the others wait for their turn


class FellBehindError(RetryableError):
    """You read too slowly, so the events have been cut off; come again and say which one was your last."""

    default_code = "fell_behind"


class Feed:
    """Hands every new event to those who subscribed to its owner's.

    ``follow`` has to run for that. However many listen, the stream is read once.
    """

    def __init__(self, streams: Callable[[], Streams]) -> None:
        self._streams = streams
        self._subscribed: defaultdict[str | System, set[Subscription]] = defaultdict(set)
        self._position = 0
        self._began = asyncio.Event()
        self._replaying = asyncio.Semaphore(REPLAYED_AT_ONCE)

    async def follow(self) -> None:
        """Hand out events as they come, from the first call on; after an outage it goes on where it was.

        Raises:
            UnavailableError: the stream is away. Call again.
        """
        if not self._began.is_set():
            self._position = await self._streams().last(STREAM)
            self._began.set()
        while True:
            async for entry in self._streams().follow(STREAM, self._position):
                self._position = entry.offset
                self._hand_out(entry)
            self._position = 0  # the stream was deleted, and its offsets begin anew

    async def begun(self) -> None:
        """Wait until events are handed out: who subscribes then misses none."""
        await self._began.wait()

    @property
    def position(self) -> int:
        """The offset up to which events have been handed out."""
        return self._position

    @contextmanager
    def subscribed(self, to: str | System) -> Iterator[Subscription]:
        """Listen while inside to the events of one owner, or of everybody as ``SYSTEM``."""
        subscription = Subscription(self._position)
        self._subscribed[to].add(subscription)
        try:
            yield subscription
        finally:
            self._subscribed[to].discard(subscription)
            if not self._subscribed[to]:
                del self._subscribed[to]

    def check_room(self, to: str | System) -> None:
        """Let one more listen to the events of one owner.

        Raises:
            RateLimitedError: as many do as may.
        """
        if len(self._subscribed.get(to, ())) >= MOST_EACH:
            raise RateLimitedError(
                f"You listen to your events {MOST_EACH} times already. Close one of these streams first."
            )

    async def events(self, to: str | System, after: int | None = None) -> AsyncGenerator[Event]:
        """The events of one owner, or everybody's: those above the offset ``after``, and all that come.

        Without ``after`` those that come from now on.

        Raises:
            FellBehindError: whoever takes them is too slow. UnavailableError: the stream is away.
        """
        await self.begun()
        with self.subscribed(to) as subscription:
            if after is not None:
                async for event in self._missed(to, after, subscription.begins_after):
                    yield event
            while True:
                yield await subscription.next()

    async def _missed(self, to: str | System, after: int, upto: int) -> AsyncGenerator[Event]:
        """The events above ``after`` that were handed out before somebody subscribed."""
        while after < upto:
            async with self._replaying:
                page = await self._streams().read(STREAM, after)
            for event in filter(None, map(readable, page)):
                if event.offset <= upto and to in (event.owner, SYSTEM):
                    yield event
            after = page[-1].offset if page else upto

    def _hand_out(self, entry: Entry) -> None:
        event = readable(entry) if self._subscribed else None
        if event is not None:
            for subscription in (*self._subscribed.get(event.owner, ()), *self._subscribed.get(SYSTEM, ())):
                subscription.push(event)


class Subscription:
    """What was handed to one subscriber and not taken yet."""

    def __init__(self, begins_after: int) -> None:
        self.begins_after = begins_after
        self._waiting: deque[Event] = deque()
        self._fell_behind = False
        self._news = asyncio.Event()

    def push(self, event: Event) -> None:
        """Keep an event for the subscriber, if it keeps up."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(event)
        else:
            self._fell_behind = True
        self._news.set()

    async def next(self) -> Event:
        """The next event, as soon as it comes.

        Raises:
            FellBehindError: some are lost to this subscriber, since it did not take them in time.
        """
        while not self._waiting and not self._fell_behind:
            self._news.clear()
            await self._news.wait()
        if self._fell_behind:
            raise FellBehindError
        return self._waiting.popleft()

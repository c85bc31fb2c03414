"""News of streams: one connection tells all of this process that wait, whichever streams they wait for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from orchestrator.core.errors import OrchestratorError, UnavailableError
from orchestrator.core.patience import growing_pauses
from orchestrator.streams.redis.connection import ANSWER_LIMIT_S, ClosedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from redis.asyncio.connection import AbstractConnection

    from orchestrator.core.clock import Clock, Wake
    from orchestrator.streams.follower import Follower
    from orchestrator.streams.redis.connection import RedisConnection
    from orchestrator.streams.redis.store import Page

# A connection on which nothing came for so long is asked whether it is still there.
QUIET_S = 15.0
# Streams that nobody waits for any more are heard for a while, since who reads in a loop comes back.
MOST_UNUSED = 1_000


class Crowd:
    """Those of this process who wait for an entry of one group."""

    def __init__(self) -> None:
        self.users = 0
        self.heard = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def changed(self, heard: int, clock: Clock, deadline: float | None) -> None:
        """Until there is news that came after the count of them was ``heard``, or until that time."""
        if self.heard != heard:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        wake = None if deadline is None else clock.call_at(deadline, lambda: _wake(waiting))
        try:
            await waiting
        finally:
            if wake is not None:
                wake.cancel()
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def pass_on(self) -> None:
        """Wake one of those who wait."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                break

    def wake_all(self) -> None:
        """Wake all who wait."""
        while self._waiting:
            _wake(self._waiting.popleft())


class Channel:
    """What this process knows of one stream while somebody waits for it."""

    def __init__(self, stem: str, clock: Clock, page: Callable[[int], Awaitable[Page]]) -> None:
        self.stem = stem
        self.users = 0
        self.confirmed = asyncio.Event()
        # With the id of the stream that each of them follows.
        self._followers: dict[Follower, bytes] = {}
        self._crowds: dict[str, Crowd] = {}
        self._clock = clock
        self._page = page
        # The last offset that followers were told; None while they read for themselves.
        self._pushed: int | None = None
        self._upto = 0
        self._looks = 0
        self._reading: asyncio.Task[None] | None = None
        self._ends: float | None = None
        self._wake: Wake | None = None

    def listen(self, follower: Follower, birth: bytes) -> None:
        """Tell the follower of each entry that comes from now on in the stream of that id."""
        self._followers[follower] = birth

    def unlisten(self, follower: Follower) -> None:
        """Tell the follower no more."""
        del self._followers[follower]

    @contextlib.contextmanager
    def crowd(self, group: str) -> Iterator[Crowd]:
        """Those who wait for a group's entries; forgotten when none of them does."""
        crowd = self._crowds.setdefault(group, Crowd())
        crowd.users += 1
        try:
            yield crowd
        finally:
            crowd.users -= 1
            if not crowd.users:
                del self._crowds[group]

    def appended(self, offset: int) -> None:
        """There are entries up to that offset."""
        for crowd in self._crowds.values():
            crowd.heard += 1
            crowd.pass_on()
        if not self._followers or self._pushed is None:
            self._pushed = offset if self._followers else None
            self._read_again()
        elif offset > self._pushed:
            self._upto = offset
            if self._reading is None:
                self._reading = asyncio.create_task(self._push())

    def look(self) -> None:
        """Something happened, or may have been missed: all look for themselves."""
        self._looks += 1
        self._pushed = None
        self._read_again()
        for crowd in self._crowds.values():
            crowd.heard += 1
            crowd.wake_all()

    def ends_at(self, ends: float | None) -> None:
        """Look when the stream's time may be over."""
        if ends != self._ends:
            self._wait_for(ends)

    def close(self) -> None:
        """Look no more."""
        self._wait_for(None)
        if self._reading is not None:
            self._reading.cancel()

    def fail(self, error: OrchestratorError) -> None:
        """There is no more news."""
        for follower in self._followers:
            follower.fail(error)
        for crowd in self._crowds.values():
            crowd.wake_all()

    def _wait_for(self, ends: float | None) -> None:
        self._ends = ends
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if ends is None else self._clock.call_at(ends, self.look, background=True)

    def _read_again(self) -> None:
        for follower in self._followers:
            follower.miss()

    async def _push(self) -> None:
        """Read what is new, once for all who follow."""
        looks = self._looks
        try:
            while self._pushed is not None and self._pushed < self._upto:
                page = await self._page(self._pushed)
                if self._looks != looks:  # it may be of another stream of that name
                    looks = self._looks
                    continue
                if not page.entries:
                    break
                self._pushed = page.entries[-1].offset
                self._hand_over(page)
        except OrchestratorError:
            self.look()
        finally:
            self._reading = None

    def _hand_over(self, page: Page) -> None:
        for follower, birth in self._followers.items():
            if birth != page.birth:  # the end of the stream he follows was not heard yet
                follower.miss()
                continue
            for entry in page.entries:
                follower.push(entry)


class News:
    """Hears Redis tell of streams, and comes back to it when it was gone."""

    def __init__(self, connection: RedisConnection, clock: Clock) -> None:
        self._redis = connection
        self._clock = clock
        self._channels: dict[str, Channel] = {}
        self._unused: OrderedDict[str, None] = OrderedDict()
        self._listening: asyncio.Task[None] | None = None
        self._closed = False
        self._connecting: AbstractConnection | None = None
        self._socket: AbstractConnection | None = None

    async def join(self, stem: str, page: Callable[[int], Awaitable[Page]]) -> Channel:
        """The news of one stream, from now on; whoever joins leaves again.

        Raises:
            UnavailableError: Redis does not answer. ClosedError: ``close`` was called.
        """
        if self._closed:
            raise ClosedError
        channel = self._channels.get(stem)
        is_new = channel is None
        if channel is None:
            channel = self._channels[stem] = Channel(stem, self._clock, page)
        channel.users += 1
        self._unused.pop(stem, None)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen_for_ever())
        try:
            if is_new:
                await self._send("SUBSCRIBE", stem)
            async with asyncio.timeout(2 * ANSWER_LIMIT_S):
                await channel.confirmed.wait()
        except BaseException as error:
            await self.leave(channel)
            if isinstance(error, TimeoutError):
                raise UnavailableError(f"{self._redis.place} cannot be reached.", retry_after=1.0) from error
            raise
        if self._closed:
            raise ClosedError
        return channel

    async def leave(self, channel: Channel) -> None:
        """Whoever joined waits no more."""
        channel.users -= 1
        if not channel.users:
            self._unused[channel.stem] = None
        while len(self._unused) > MOST_UNUSED:
            stem, _ = self._unused.popitem(last=False)
            self._channels.pop(stem).close()
            await self._send("UNSUBSCRIBE", stem)

    async def close(self) -> None:
        """Hear no more; all who wait are told."""
        self._closed = True
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        for channel in self._channels.values():
            channel.close()
            channel.fail(ClosedError())
            channel.confirmed.set()

    async def _listen_for_ever(self) -> None:
        intervals = growing_pauses()
        while True:
            try:
                socket = await self._connect()
                intervals = growing_pauses()
                await self._listen(socket)
            except (RedisError, OSError):
                pass  # those who ask Redis for something are told why; those who wait go on waiting
            finally:
                await self._disconnect()
            await asyncio.sleep(next(intervals))

    async def _connect(self) -> AbstractConnection:
        socket: AbstractConnection = self._redis.client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._connecting = socket
        await socket.connect()  # type: ignore[no-untyped-call]
        self._socket = socket  # from here on, whoever joins asks for his own stream
        if self._channels:
            await socket.send_command("SUBSCRIBE", *self._channels)
        return socket

    async def _disconnect(self) -> None:
        self._socket = None
        for channel in self._channels.values():
            channel.confirmed.clear()
        if self._connecting is not None:
            await self._connecting.disconnect(nowait=True)

    async def _listen(self, socket: AbstractConnection) -> None:
        while True:
            message = await socket.read_response(timeout=QUIET_S, disconnect_on_error=False)
            if message is None:
                await socket.send_command("PING", check_health=False)
                message = await socket.read_response(timeout=ANSWER_LIMIT_S, disconnect_on_error=False)
                if message is None:
                    return
            self._tell(message)

    def _tell(self, message: object) -> None:
        match message:
            case [b"subscribe", bytes(stem), _] if channel := self._channels.get(stem.decode()):
                channel.confirmed.set()
                channel.look()
            case [b"message", bytes(stem), bytes(news)] if channel := self._channels.get(stem.decode()):
                if news.isdigit():
                    channel.appended(int(news))
                else:
                    channel.look()
            case _:
                pass  # an answer to PING, or of a stream that was left

    async def _send(self, command: str, stem: str) -> None:
        """Send, where there is a connection; a new one asks for all streams anyway."""
        if self._socket is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._socket.send_command(command, stem, check_health=False)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)

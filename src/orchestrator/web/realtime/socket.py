"""One client's WebSocket: reads what it says, tells it what happens, and lets go who does not keep up."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from enum import Enum
from typing import TYPE_CHECKING, Final

import structlog
from starlette.websockets import WebSocketDisconnect

from orchestrator.core.errors import RetryableError
from orchestrator.core.waiting import passed
from orchestrator.web.events import Event
from orchestrator.web.realtime.frames import LONGEST_FRAME_BYTES, MalformedFrameError, decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.websockets import WebSocket

    from orchestrator.core.clock import Clock
    from orchestrator.db.session import System
    from orchestrator.web.events import Feed
    from orchestrator.web.realtime.conversation import Conversation
    from orchestrator.web.realtime.frames import Frame, Version

# Whoever says nothing for so long is gone: clients send a heartbeat every 25 s.
SILENT_S: Final = 60.0
LOOKED_AFTER_EVERY_S: Final = 30.0  # also how long an expired token may go on
SEND_TIMEOUT_S: Final = 30.0
MOST_WAITING: Final = 32
MOST_FRAMES_A_SECOND: Final = 100

# Codes of RFC 6455 and its registry.
NOT_A_FRAME: Final = 1007
TOO_MANY: Final = 1008
TOO_LARGE: Final = 1009
TRY_AGAIN: Final = 1013
SILENT: Final = 1000

log = structlog.get_logger()


class _Moment(Enum):
    LOOK_AFTER = "look after"
    GONE = "gone"


Item = str | bytes | Event | RetryableError | _Moment
"""What the client said, or what else there is to do."""


class _EndError(Exception):
    """The service ends this, with a code and a sentence for the client."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(reason)


class RealtimeSocket:
    """A connection that was accepted, until one side ends it."""

    def __init__(
        self,
        websocket: WebSocket,
        version: Version,
        conversation: Conversation,
        feed: Feed,
        clock: Clock,
    ) -> None:
        self._websocket = websocket
        self._version = version
        self._conversation = conversation
        self._feed = feed
        self._clock = clock
        self._inbox: asyncio.Queue[Item] = asyncio.Queue(MOST_WAITING)
        self._heard_at = clock.time()
        self._second, self._frames_in_second = 0, 0
        self._listening = _Listening(feed, self._inbox)
        self._kept = asyncio.timeout(None)

    @property
    def has_user(self) -> bool:
        """Whether the client has said whose events it listens to."""
        return self._conversation.listens_to is not None

    def let_go(self) -> None:
        """End this: its place is needed."""
        with suppress(RuntimeError):  # it ends already
            self._kept.reschedule(asyncio.get_running_loop().time())

    async def serve(self) -> None:
        """Talk with the client until it is gone, or is let go."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._look_after())]
        try:
            async with self._kept:
                while (item := await self._inbox.get()) is not _Moment.GONE:
                    for frame in await self._answers(item):
                        await self._send(frame)
        except _EndError as end:
            await self._end(end)
        except TimeoutError:
            if self._kept.expired():
                await self._end(_EndError(TRY_AGAIN, "too many clients are connected: name a user at once"))
        except WebSocketDisconnect:
            pass  # it went away
        finally:
            self._listening.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self, end: _EndError) -> None:
        log.info("realtime socket ended", code=end.code, reason=end.reason)
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._websocket.close(end.code, end.reason)

    async def _answers(self, item: Item) -> list[Frame]:
        if isinstance(item, Event):
            return self._conversation.told(item)
        if isinstance(item, RetryableError):
            raise _EndError(TRY_AGAIN, item.message)
        if isinstance(item, _Moment):
            if self._clock.time() - self._heard_at >= SILENT_S:
                raise _EndError(SILENT, "no heartbeat")
            answers = await self._conversation.confirm()
        else:
            answers = await self._conversation.answer(self._heard(item))
        self._listening.to(self._conversation.listens_to, self._conversation.since)
        return answers

    def _heard(self, given: str | bytes) -> Frame:
        self._heard_at = self._clock.time()
        if int(self._heard_at) != self._second:
            self._second, self._frames_in_second = int(self._heard_at), 0
        self._frames_in_second += 1
        if self._frames_in_second > MOST_FRAMES_A_SECOND:
            raise _EndError(TOO_MANY, "too many messages per second")
        if len(given) > LONGEST_FRAME_BYTES:
            raise _EndError(TOO_LARGE, f"a frame takes {LONGEST_FRAME_BYTES} bytes at most")
        try:
            return decode(self._version, given)
        except MalformedFrameError as error:
            raise _EndError(NOT_A_FRAME, str(error)) from error

    async def _send(self, frame: Frame) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._websocket.send_text(encode(self._version, frame))

    async def _read(self) -> None:
        """What the client sends; a full inbox makes it wait."""
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            await self._inbox.put(message.get("text") or message.get("bytes") or "")
        await self._inbox.put(_Moment.GONE)

    async def _look_after(self) -> None:
        while True:
            await passed(self._clock, LOOKED_AFTER_EVERY_S, background=True)
            await self._inbox.put(_Moment.LOOK_AFTER)


class _Listening:
    """What a socket is subscribed to, brought into its inbox."""

    def __init__(self, feed: Feed, inbox: asyncio.Queue[Item]) -> None:
        self._feed = feed
        self._inbox = inbox
        self._to: str | System | None = None
        self._bringing: asyncio.Task[None] | None = None

    def to(self, whom: str | System | None, since: int) -> None:
        """Listen to the events of ``whom`` above the offset ``since``, and of nobody else."""
        if whom == self._to:
            return
        self.stop()
        self._to = whom
        if whom is not None:
            self._bringing = asyncio.create_task(self._bring(self._feed.events(whom, since)))

    def stop(self) -> None:
        """Listen to nobody."""
        self._to = None
        if self._bringing is not None:
            self._bringing.cancel()
            self._bringing = None

    async def _bring(self, events: AsyncGenerator[Event]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    await self._inbox.put(event)
        except RetryableError as error:
            await self._inbox.put(error)

"""What a client says, and what it is answered: channels as Supabase Realtime keeps them.

There is one topic, ``wisely.events``: each client hears on it what belongs to its user, and nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import OrchestratorError, UnavailableError
from orchestrator.db import SYSTEM
from orchestrator.web.auth.caller import LOCAL_USER
from orchestrator.web.events.event import STREAM
from orchestrator.web.realtime.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from orchestrator.db.session import System
    from orchestrator.web.events import Event, Feed
    from orchestrator.web.realtime.frames import Ref
    from orchestrator.web.realtime.identity import Identity

PREFIX: Final = "realtime:"
TOPIC: Final = f"{PREFIX}{STREAM}"
HEARTBEATS: Final = "phoenix"  # the topic of what is said to the server itself
BEGINS_WITHIN_S: Final = 5.0
NOT_YOURS: Final = "Unauthorized: You do not have permissions to read from this Channel topic: {}"
NOT_TOKENS: Final = "sb_"  # keys of a project, which clients send where a token would be


class _RefusedError(Exception):
    """A join that is refused, with the reason for the client."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(slots=True)
class Channel:
    """A topic that the client joined."""

    join_ref: Ref
    token: str | None
    listens_to: str | System | None
    since: int  # the offset of the stream above which the client is told
    acknowledges: bool  # whether the client wants to know what became of its broadcasts

    @property
    def is_unnamed(self) -> bool:
        """Whether nobody named a user yet: in dev mode it is then this machine's own user who listens."""
        return self.listens_to in (None, LOCAL_USER)


class Conversation:
    """One client's channel, from its join to its leave."""

    def __init__(self, identity: Identity, feed: Feed) -> None:
        self._identity = identity
        self._feed = feed
        self._channel: Channel | None = None
        self._asked_again = False

    @property
    def listens_to(self) -> str | System | None:
        """Whose events the client is to be told of now."""
        return self._channel.listens_to if self._channel else None

    @property
    def since(self) -> int:
        """The offset above which it is to be told: that of its join, also where its token came later."""
        return self._channel.since if self._channel else self._feed.position

    async def answer(self, frame: Frame) -> list[Frame]:
        """What is said to a frame of the client."""
        if frame.topic == HEARTBEATS:
            return [_reply(frame), *self._asking_again()] if frame.event == "heartbeat" else []
        if frame.event == "phx_join":
            return await self._join(frame)
        if self._channel is not None and frame.topic == TOPIC:
            return await self._on_channel(self._channel, frame)
        return [_reply(frame) if frame.event == "phx_leave" else _refusal(frame, "unmatched topic")]

    async def confirm(self) -> list[Frame]:
        """See whether the client may still hear what it hears; what is said where it may not."""
        if self._channel is None:
            return []
        return await self._listen(self._channel, self._channel.token)

    def told(self, event: Event) -> list[Frame]:
        """What is said of an event."""
        if self.listens_to not in (event.owner, SYSTEM):
            return []  # it came while the client became somebody else
        payload: dict[str, JsonValue] = {
            "type": "broadcast",
            "event": event.type,
            "payload": dict(event.data),
        }
        return [Frame(TOPIC, "broadcast", payload)]

    async def _join(self, frame: Frame) -> list[Frame]:
        config = _object(frame.payload, "config")
        token = _token(frame.payload.get("access_token"))
        try:
            _check_asked(frame.topic, config)
            listens_to = await self._admitted(token, private=bool(config.get("private")))
        except _RefusedError as refused:
            return [_refusal(frame, refused.reason)]
        before = [_closed(self._channel)] if self._channel else []
        wants_ack = bool(_object(config, "broadcast").get("ack"))
        unnamed = self._channel is None or self._channel.is_unnamed
        since = self.since if unnamed else self._feed.position
        self._channel = Channel(frame.join_ref or frame.ref, token, listens_to, since, wants_ack)
        return [*before, _reply(frame, {"postgres_changes": []})]

    async def _admitted(self, token: str | None, *, private: bool) -> str | System | None:
        """Whose events are heard with that token, once they are handed out and there is room."""
        try:
            async with asyncio.timeout(BEGINS_WITHIN_S):
                await self._feed.begun()
            listens_to = await self._identity.listens_to(token)
            if listens_to is not None and listens_to != self.listens_to:
                self._feed.check_room(listens_to)
        except TimeoutError:
            raise _RefusedError("RealtimeRestarting: Realtime is restarting, please standby") from None
        except OrchestratorError as error:
            raise _RefusedError(f"{_kind(error)}: {error.message}") from error
        if listens_to is None and private:
            raise _RefusedError(NOT_YOURS.format(STREAM))
        return listens_to

    def _asking_again(self) -> list[Frame]:
        """Have a client that has named no user by its first heartbeat join once more.

        Newer versions of supabase-js that subscribe before they know their user's token send it with the next
        join alone. The user misses nothing: the channel is told from the first join on.
        """
        if self._channel is None or not self._channel.is_unnamed or self._asked_again:
            return []
        self._asked_again = True
        return [Frame(TOPIC, "phx_error", {}, self._channel.join_ref, self._channel.join_ref)]

    async def _on_channel(self, channel: Channel, frame: Frame) -> list[Frame]:
        if frame.join_ref not in (None, channel.join_ref):
            return []  # said on a channel that was closed meanwhile
        if frame.event == "phx_leave":
            self._channel = None
            return [_reply(frame), _closed(channel)]
        if frame.event == "access_token":
            return await self._renew(channel, frame.payload.get("access_token"))
        if frame.event == "broadcast" and channel.acknowledges:
            return [_refusal(frame, "Unauthorized: Events come from the service alone")]
        return []

    async def _renew(self, channel: Channel, given: JsonValue) -> list[Frame]:
        token = _token(given)
        return [] if token is None else await self._listen(channel, token)

    async def _listen(self, channel: Channel, token: str | None) -> list[Frame]:
        try:
            listens_to = await self._identity.listens_to(token)
        except UnavailableError:
            return []  # as before, until somebody can tell
        except OrchestratorError as error:
            self._channel = None
            told = {"extension": "system", "status": "error", "message": error.message, "channel": STREAM}
            return [Frame(TOPIC, "system", told, join_ref=channel.join_ref), _closed(channel)]
        if not channel.is_unnamed and channel.listens_to != listens_to:
            channel.since = self._feed.position  # what happened before was another one's to hear
        channel.token, channel.listens_to = token, listens_to
        return []


def _reply(to: Frame, response: Mapping[str, JsonValue] | None = None, status: str = "ok") -> Frame:
    said: dict[str, JsonValue] = {"status": status, "response": dict(response or {})}
    return Frame(to.topic, "phx_reply", said, to.ref, to.join_ref)


def _refusal(to: Frame, reason: str) -> Frame:
    return _reply(to, {"reason": reason}, "error")


def _closed(channel: Channel) -> Frame:
    return Frame(TOPIC, "phx_close", {}, channel.join_ref, channel.join_ref)


def _check_asked(topic: str, config: Mapping[str, JsonValue]) -> None:
    name = topic.removeprefix(PREFIX)
    if name == topic:
        raise _RefusedError("unmatched topic")
    if not name:
        raise _RefusedError("TopicNameRequired: You must provide a topic name")
    if name != STREAM:
        raise _RefusedError(NOT_YOURS.format(name))
    if config.get("postgres_changes"):
        raise _RefusedError("postgres_changes are not offered here: listen to broadcasts")


def _kind(error: OrchestratorError) -> str:
    """What Supabase calls such an error."""
    return {401: "InvalidJWTToken", 403: "Unauthorized", 429: "ChannelRateLimitReached"}.get(
        error.status, "UnableToConnectToProject"
    )


def _token(given: JsonValue) -> str | None:
    is_token = isinstance(given, str) and given and not given.startswith(NOT_TOKENS)
    return given if is_token and isinstance(given, str) else None


def _object(within: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    found = within.get(name)
    return found if isinstance(found, dict) else {}

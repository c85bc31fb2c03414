"""Where clients connect, and where our other services broadcast to them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query, Response, WebSocket
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from orchestrator.core.errors import ForbiddenError, InvalidInputError, RateLimitedError
from orchestrator.db import SYSTEM
from orchestrator.web.auth.access import Anyone, Service
from orchestrator.web.auth.credentials import Credentials, is_user
from orchestrator.web.events.event import STREAM, NewEvent
from orchestrator.web.idempotency.once import MadeId
from orchestrator.web.problems import problems
from orchestrator.web.realtime.conversation import Conversation
from orchestrator.web.realtime.frames import Version
from orchestrator.web.realtime.identity import Identity
from orchestrator.web.realtime.socket import RealtimeSocket

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.db import Database
    from orchestrator.web.auth.caller import Caller
    from orchestrator.web.auth.sign_in import SignIn
    from orchestrator.web.events import Feed, Outbox
    from orchestrator.web.limits.sign_ins import SignInLimit

REALTIME: Final = "/realtime/v1"
MOST_SOCKETS: Final = 10_000
MOST_MESSAGES: Final = 100


class Message(BaseModel):
    """One broadcast."""

    model_config = ConfigDict(extra="forbid")

    topic: str = Field(description=f"`{STREAM}`; there is no other.")
    event: str = Field(description="Its type, such as `instructor_plan_created`.")
    payload: dict[str, JsonValue] = Field(description="Its data, with the user whose it is as `user_id`.")
    private: bool = Field(default=False, description="Taken as it comes: all events are private here.")


class Broadcasts(BaseModel):
    """What to tell clients."""

    model_config = ConfigDict(extra="forbid")

    messages: list[Message] = Field(
        min_length=1, max_length=MOST_MESSAGES, description="The broadcasts, in order."
    )


def realtime_router(feed: Feed, clock: Clock, database: Database, outbox: Outbox) -> APIRouter:
    """The routes over ``feed``."""
    router = APIRouter(prefix=REALTIME, tags=["events"])
    open_sockets: dict[RealtimeSocket, None] = {}  # from the oldest to the newest

    @router.websocket("/websocket")
    async def connect(
        websocket: WebSocket,
        _: Anyone,
        apikey: Annotated[str, Query()] = "",
        vsn: Annotated[str, Query()] = Version.ONE,
    ) -> None:
        if vsn not in list(Version):
            raise ForbiddenError(f"vsn is {vsn[:20]!r}; this service speaks {' and '.join(Version)}.")
        sign_in: SignIn = websocket.app.state.sign_in
        sign_ins: SignInLimit = websocket.app.state.sign_ins
        headers = Credentials.of(websocket.headers, sign_in.api_key_header)
        refused = partial(sign_ins.refused, websocket.scope)
        identity = Identity(sign_in, headers, apikey or headers.apikey, refused)
        await identity.check()
        if len(open_sockets) >= MOST_SOCKETS:
            _make_room(open_sockets)
        await websocket.accept()
        socket = RealtimeSocket(websocket, Version(vsn), Conversation(identity, feed), feed, clock)
        open_sockets[socket] = None
        try:
            await socket.serve()
        finally:
            open_sockets.pop(socket, None)

    @router.post(
        "/api/broadcast",
        status_code=202,
        response_class=Response,
        responses=problems(401, 403),
        summary="Tell users' clients of events, as one of our own services",
    )
    async def broadcast(given: Broadcasts, caller: Service, made_id: MadeId) -> None:
        events = [
            _event(message, caller, f"{made_id}.{number}") for number, message in enumerate(given.messages)
        ]
        async with database.session(SYSTEM) as session:
            for event in events:
                outbox.add(session, event)

    return router


def _make_room(open_sockets: dict[RealtimeSocket, None]) -> None:
    """Let the socket go that named no user for longest: whoever holds sockets for nothing shuts out nobody.

    Raises:
        RateLimitedError: all of them have users.
    """
    oldest = next((socket for socket in open_sockets if not socket.has_user), None)
    if oldest is None:
        raise RateLimitedError("Too many clients are connected. Try again later.", retry_after=30)
    del open_sockets[oldest]
    oldest.let_go()


def _event(message: Message, caller: Caller, event_id: str) -> NewEvent:
    """The event of a message.

    Raises:
        InvalidInputError: it is on another topic, nobody's, or none that can be told.
    """
    if message.topic != STREAM:
        raise InvalidInputError(f"There is one topic here, {STREAM!r}.")
    owner = message.payload.get("user_id", caller.user)
    if not isinstance(owner, str) or not is_user(owner):
        raise InvalidInputError("The payload says by `user_id` whose event it is.")
    if caller.user and caller.user != owner:
        raise ForbiddenError("The payload's `user_id` is another user than the one that X-User-ID names.")
    try:
        return NewEvent(message.event, owner, message.payload, event_id)
    except ValueError as error:
        raise InvalidInputError(f"The event cannot be told: {error}.") from error

"""Server-Sent Events of whatever happens to the caller's things."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel, Field

from orchestrator.core.clock import rfc3339, utc
from orchestrator.core.errors import OrchestratorError, UnavailableError
from orchestrator.web.auth.access import Learner, Viewer
from orchestrator.web.auth.caller import caller_of
from orchestrator.web.auth.credentials import Credentials
from orchestrator.web.auth.links import links_of
from orchestrator.web.events.event import compact_json
from orchestrator.web.events.feed import FellBehindError
from orchestrator.web.idempotency.once import secret_answer
from orchestrator.web.problems import problems
from orchestrator.web.sse import EventStream, described

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from orchestrator.core.clock import Clock
    from orchestrator.web.auth.sign_in import SignIn
    from orchestrator.web.events.event import Event
    from orchestrator.web.events.feed import Feed

EVENTS: Final = "/api/v1/events"
MOST_OFFSET_DIGITS: Final = 15
LOOKED_AFTER_EVERY_S: Final = 30.0  # so long what was revoked may go on
# What stands in the `data:` of an event.
EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "type", "at", "data"],
    "properties": {
        "id": {"type": "string", "description": "The same wherever the event is told, webhooks included."},
        "type": {"type": "string", "examples": ["lesson_completed"]},
        "at": {"type": "string", "format": "date-time"},
        "data": {"type": "object"},
    },
}
STREAM: Final = described("Server-Sent Events, without an end.", EVENT)

log = structlog.get_logger()


class EventsToken(BaseModel):
    """What lets a browser listen to its user's events."""

    token: str = Field(description="For the query: `?token=…`.")
    expires_at: datetime = Field(description="Until when it is good.")


def events_router(feed: Feed, clock: Clock) -> APIRouter:
    """The route over ``feed``."""
    router = APIRouter(tags=["events"])

    @router.get(
        EVENTS,
        response_class=Response,
        responses={200: STREAM, **problems(401)},
        summary="Watch what happens to your things, from now on or after the last event received",
    )
    async def watch(
        request: Request,
        caller: Viewer,
        last_event_id: Annotated[
            str | None, Header(description="The id of the last event that the client got.")
        ] = None,
    ) -> Response:
        feed.check_room(caller.user)
        events = feed.events(caller.user, _offset(last_event_id))
        return EventStream(request, _told(events, _Permission(request, clock)))

    @router.post(
        f"{EVENTS}/stream-token",
        responses=problems(401),
        summary="Get a token for your stream of events, which browsers ask for without headers",
        dependencies=[Depends(secret_answer)],
    )
    async def stream_token(caller: Learner, request: Request) -> EventsToken:
        """Good for ten minutes, as `?token=` on GET of the stream, and nowhere else."""
        token, end = links_of(request).token(caller.user, EVENTS)
        return EventsToken(token=token, expires_at=utc(end))

    return router


def _offset(last_event_id: str | None) -> int | None:
    """The offset that a client names; None where it names none, and so begins with what comes."""
    given = last_event_id or ""
    is_offset = given.isascii() and given.isdigit() and len(given) <= MOST_OFFSET_DIGITS
    return int(given) if is_offset else None


class _Permission:
    """That the caller is still who it was: a stream outlasts many a token, and a key may be revoked.

    Who came by a token in the address goes on: that one is for opening the stream.
    """

    def __init__(self, request: Request, clock: Clock) -> None:
        self._sign_in: SignIn = request.app.state.sign_in
        self._given = Credentials.of(request.headers, self._sign_in.api_key_header)
        self._caller = caller_of(request.scope)
        self._clock = clock
        self._seen_at = clock.time()

    async def lasts(self) -> bool:
        """Whether it does; looked after from time to time, as there is something to tell."""
        if abs(self._clock.time() - self._seen_at) < LOOKED_AFTER_EVERY_S:
            return True
        self._seen_at = self._clock.time()
        try:
            return await self._sign_in.caller(self._given) == self._caller
        except UnavailableError:
            return True  # as before, until somebody can tell
        except OrchestratorError as error:
            log.info("event stream ended", reason=error.message)
            return False


async def _told(events: AsyncGenerator[Event], permission: _Permission) -> AsyncGenerator[tuple[str, str]]:
    """Ids and JSON, until the client has to come again and say who it is and which was its last event."""
    async with aclosing(events):
        try:
            async for event in events:
                if not await permission.lasts():
                    break
                told = {"id": event.id, "type": event.type, "at": rfc3339(event.at), "data": event.data}
                yield str(event.offset), compact_json(told).decode()
        except (FellBehindError, UnavailableError) as error:
            log.info("event stream ended", reason=error.message)

"""The HTTP routes of document 001: parse, call the service, answer."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from orchestrator.core.clock import utc
from orchestrator.features.lessons.schemas import (
    NewSession,
    Session,
    SessionCreated,
    SessionPage,
    SessionResult,
    StreamToken,
)
from orchestrator.web.audit import Trail
from orchestrator.web.auth.access import Learner, Viewer
from orchestrator.web.auth.links import links_of
from orchestrator.web.feature import OpenRoute
from orchestrator.web.idempotency.once import MadeId, secret_answer
from orchestrator.web.problems import problems
from orchestrator.web.sse import EventStream, described

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from orchestrator.features.lessons.events import SessionEvent
    from orchestrator.features.lessons.service import LessonService

SESSIONS: Final = "/api/sessions"
LARGEST_PAGE: Final = 200
UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
# What stands in the `data:` of an event.
EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "session_id"],
    "properties": {
        "type": {"enum": ["connected", "step-start", "step-delta", "step-complete", "final", "error"]},
        "session_id": {"type": "string"},
        "step_id": {"type": "string", "pattern": "^step-[1-5]$"},
        "data": {"type": "object"},
        "timestamp": {"type": "string", "format": "date-time"},
    },
}
STREAM: Final = described("Server-Sent Events, until the session ends.", EVENT)
JPEG: Final[dict[str, Any]] = {
    "description": "The picture.",
    "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
}

OPEN_ROUTES: Final = (
    OpenRoute(SESSIONS, frozenset({"POST"})),
    OpenRoute(f"{SESSIONS}/{{session_id}}/run", frozenset({"GET", "POST"})),
    OpenRoute(f"{SESSIONS}/{{session_id}}/result", frozenset({"GET"})),
    OpenRoute(f"{SESSIONS}/{{session_id}}/images/{{name}}", frozenset({"GET"})),
)

SessionId = Annotated[str, Path(description="The session's id.")]
LastEventId = Annotated[str | None, Header(description="The id of the last event that the client got.")]


def lessons_router(service: LessonService) -> APIRouter:
    """The routes over ``service``."""
    router = APIRouter(prefix=SESSIONS, tags=["lessons"])
    _add_sessions(router, service)
    _add_runs(router, service)
    _add_lessons(router, service)
    return router


def _add_sessions(router: APIRouter, service: LessonService) -> None:
    @router.post("", status_code=201, summary="Create a session")
    async def create(new: NewSession, caller: Learner, made_id: MadeId) -> SessionCreated:
        return SessionCreated(id=await service.create(caller.user, new, made_id))

    @router.get("", summary="List sessions, newest first")
    async def page(
        caller: Learner,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="How many at most.")] = 50,
        before: Annotated[str | None, Query(pattern=UUID, description="`next` of the page before.")] = None,
    ) -> SessionPage:
        return await service.page(caller.user, limit, before)

    @router.get(
        "/{session_id}",
        responses=problems(404),
        summary="Show a session with its steps",
    )
    async def show(session_id: SessionId, caller: Learner) -> Session:
        return await service.show(caller.user, session_id)

    @router.delete(
        "/{session_id}",
        status_code=204,
        responses=problems(404, 503),
        summary="Stop a session and forget it",
    )
    async def delete(session_id: SessionId, caller: Learner, trail: Trail) -> None:
        await service.check(caller.user, session_id)
        await trail.record("lesson.delete", session_id)
        await service.delete(caller.user, session_id)


def _add_runs(router: APIRouter, service: LessonService) -> None:
    @router.post(
        "/{session_id}/run",
        response_class=Response,
        responses={200: STREAM, **problems(404, 409)},
        summary="Start a session, or go on with a failed one, and stream its progress",
    )
    async def run(session_id: SessionId, caller: Learner, request: Request) -> Response:
        return EventStream(request, _encoded(await service.run(caller.user, session_id)))

    @router.post(
        "/{session_id}/stream-token",
        responses=problems(404),
        summary="Get a token for the session's stream and pictures, which browsers ask for without headers",
        dependencies=[Depends(secret_answer)],
    )
    async def stream_token(session_id: SessionId, caller: Learner, request: Request) -> StreamToken:
        """Good for ten minutes, as `?token=` on GET of the run and of the pictures, and nowhere else."""
        await service.check(caller.user, session_id)
        token, end = links_of(request).token(caller.user, f"{SESSIONS}/{session_id}")
        return StreamToken(token=token, expires_at=utc(end))

    @router.get(
        "/{session_id}/run",
        response_class=Response,
        responses={200: STREAM, 204: {"description": "Everything was delivered."}, **problems(404)},
        summary="Watch a session from its first event or after the last one received; an idle one starts",
    )
    async def watch(
        session_id: SessionId, caller: Viewer, request: Request, last_event_id: LastEventId = None
    ) -> Response:
        events = await service.watch(caller.user, session_id, last_event_id)
        return Response(status_code=204) if events is None else EventStream(request, _encoded(events))


def _add_lessons(router: APIRouter, service: LessonService) -> None:
    @router.get(
        "/{session_id}/result",
        responses=problems(400, 404),
        summary="Get the lesson of a completed session; any other, failed ones too, answers 400",
    )
    async def result(session_id: SessionId, caller: Learner) -> SessionResult:
        return await service.result(caller.user, session_id)

    @router.get(
        "/{session_id}/images/{name}",
        response_class=Response,
        responses={200: JPEG, 304: {"description": "You have it."}, **problems(404)},
        summary="Get a picture of the lesson",
    )
    async def picture(
        session_id: SessionId,
        caller: Viewer,
        name: Annotated[str, Path(description="As `images` of the result has it.", examples=["image1.jpg"])],
        if_none_match: Annotated[
            str | None, Header(description="The ETag of the picture that the client has.")
        ] = None,
    ) -> Response:
        blob = await service.picture(caller.user, session_id, name)
        etag = f'"{blob.etag}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if if_none_match is not None and etag in (
            tag.strip().removeprefix("W/") for tag in if_none_match.split(",")
        ):
            return Response(status_code=304, headers=headers)
        return Response(blob.data, media_type=blob.content_type, headers=headers)


async def _encoded(events: AsyncGenerator[SessionEvent]) -> AsyncGenerator[tuple[str, str]]:
    """Ids and compact JSON."""
    async with aclosing(events):
        async for event in events:
            yield str(event.position), json.dumps(event.as_json(), ensure_ascii=False, separators=(",", ":"))

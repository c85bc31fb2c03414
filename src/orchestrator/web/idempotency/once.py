"""Every POST under an ``Idempotency-Key`` is done once, whatever its route."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import structlog
from fastapi import Depends, HTTPException
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.ids import new_id
from orchestrator.web.auth.caller import Role, caller_of
from orchestrator.web.idempotency.answers import Answer, Begun
from orchestrator.web.idempotency.attempt import NAMES, Attempt, key_in
from orchestrator.web.problems import ProblemResponse, problem_of
from orchestrator.web.sse import MEDIA_TYPE as EVENT_STREAM

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from orchestrator.web.idempotency.answers import Answers

SCOPE_KEY: Final = "orchestrator.answering"
LARGEST_ANSWER_BYTES: Final = 64 * 1024
KEPT_HEADERS: Final = ("content-type", "location", "etag", "link")
REPLAYED: Final = {"Idempotency-Replayed": "true"}

log = structlog.get_logger()


@dataclass(slots=True)
class Answering:
    """The answer while it is given: held back until it is kept, unless it is a stream.

    Event streams are not kept at all; of a secret that is made while it is sent, it is kept that it was.
    """

    made_id: str
    is_secret: bool = False
    is_stream: bool = False
    is_endless: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    held: list[Message] = field(default_factory=list)

    def hold(self, message: Message) -> None:
        """Take a message of the answer."""
        if message["type"] == "http.response.start":
            given = Headers(raw=message["headers"])
            self.status = message["status"]
            self.headers = {name: given[name] for name in KEPT_HEADERS if name in given}
            self.is_endless = given.get("content-type", "").startswith(EVENT_STREAM)
            self.is_stream = self.is_endless or (self.is_secret and "content-length" not in given)
        self.held.append(message)

    async def give(self, send: Send) -> None:
        """Send what was held."""
        messages, self.held = self.held, []
        for message in messages:
            await send(message)

    @property
    def is_to_be_kept(self) -> bool:
        """Whether another try would get the same: not after what passes, or waits for a sign-in."""
        passing = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)
        is_told = HTTPStatus.OK <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return is_told and self.status not in passing and not self.is_endless

    @property
    def answer(self) -> Answer:
        """What there is to keep of it."""
        body = b"".join(message.get("body", b"") for message in self.held)
        is_kept = not self.is_secret and len(body) <= LARGEST_ANSWER_BYTES
        return Answer(self.status, self.headers, body if is_kept else None)


async def secret_answer(connection: HTTPConnection) -> None:
    """A dependency of routes whose answer holds a secret: that it was given is kept, the answer is not."""
    answering = connection.scope.get(SCOPE_KEY)
    if isinstance(answering, Answering):
        answering.is_secret = True


async def made_id(connection: HTTPConnection) -> str:
    """A dependency of routes that make something: its id.

    Under a key it is the same at each attempt, so that one after a crash finds what the one before it made.
    """
    answering = connection.scope.get(SCOPE_KEY)
    return answering.made_id if isinstance(answering, Answering) else new_id()


MadeId = Annotated[str, Depends(made_id)]


class Once:
    """Answers the second request under a key as the first one was answered.

    Not kept are 5xx, 401, 429 and event streams: after those, the same key may be used again. Requests of
    nobody are passed on as they are, since one nobody cannot be told from another.
    """

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self.app = app
        self.answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do it once; pass on what does not ask for that."""
        if not _asks_for_once(scope):
            await self.app(scope, receive, send)
            return
        try:
            body = await Request(scope, receive).body()
            attempt = Attempt.of(caller_of(scope), scope, key_in(Headers(scope=scope)), body)
            scope["app"].state.parts.check()
            earlier = await self.answers.begin(attempt)
        except ClientDisconnect:
            return
        except HTTPException as error:  # of the limit on bodies
            await ProblemResponse(400, "payload_too_large", str(error.detail))(scope, receive, send)
        except OrchestratorError as error:
            await problem_of(error)(scope, receive, send)
        else:
            if isinstance(earlier, Begun):
                await self._go_on(attempt, earlier, scope, _read_again(body, receive), send)
            else:
                again = Response(earlier.body, earlier.status, {**earlier.headers, **REPLAYED})
                await again(scope, receive, send)

    async def _go_on(
        self, attempt: Attempt, begun: Begun, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Do it, and keep the answer before it is given."""
        answering = scope[SCOPE_KEY] = Answering(begun.made_id)

        async def held(message: Message) -> None:
            answering.hold(message)
            if answering.is_stream:
                await answering.give(send)

        is_over = False
        try:
            await self.app(scope, receive, held)
            is_over = answering.is_to_be_kept
        finally:
            if not is_over:
                await _whatever_comes(self.answers.release(attempt))
        if is_over:
            await _whatever_comes(self.answers.keep(attempt, answering.answer))
        await answering.give(send)


def _asks_for_once(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    headers = Headers(scope=scope)
    return any(name in headers for name in NAMES) and caller_of(scope).role is not Role.NOBODY


def _read_again(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read already, and then what else comes, such as that the client is gone."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def reading() -> Message:
        return unread.pop() if unread else await receive()

    return reading


async def _whatever_comes(work: Awaitable[None]) -> None:
    """The caller has the answer all the same; the key is free again when its lease is over."""
    try:
        await work
    except OrchestratorError as error:
        log.warning("idempotency key not written", reason=error.message)

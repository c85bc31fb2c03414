"""Problem documents (RFC 9457): every error that leaves the service has this one shape.

Beside the standard members they carry ``error`` (the same sentence as ``detail``, where supabase's clients
look for it), a stable ``code`` for programs, and the ``trace_id`` under which the logs tell more.
"""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from fastapi.exceptions import RequestValidationError
from opentelemetry import trace
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from orchestrator.core.errors import OrchestratorError, RetryableError, UnauthorizedError, UnavailableError
from orchestrator.web.head import takes_head
from orchestrator.web.sse import ComeAgain, is_from_event_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import HTTPConnection, Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MOST_FIELDS_LISTED = 20
LONGEST_FIELD_CHARS = 100
LONGEST_REASON_CHARS = 300
INTERNAL_MESSAGE = "Something failed on our side. The logs tell more under this trace_id."
CLOSING_MESSAGE = "The service is shutting down before this could finish. Try again later."

log = structlog.get_logger()


class FieldProblem(BaseModel):
    """One wrong field of a request."""

    field: str = Field(description="Where: a dotted path into the body, or a parameter's name.")
    reason: str = Field(description="What is wrong with it and what is right.")


class Problem(BaseModel):
    """What went wrong, as RFC 9457 describes it."""

    type: str = Field("about:blank", description="Always about:blank: `code` tells the kind.")
    title: str = Field(description="The status in words.")
    status: int = Field(ge=400, le=599, description="The HTTP status.")
    detail: str = Field(description="What is wrong and what is right, for people.")
    error: str = Field(description="The same as `detail`.")
    code: str = Field(description="A stable name for programs.")
    trace_id: str = Field(
        pattern="^[0-9a-f]{32}$", description="The W3C trace id under which the logs tell more."
    )
    errors: list[FieldProblem] | None = Field(
        None, description="Each wrong field; only where fields are wrong."
    )


class ProblemResponse(Response):
    """A problem document. Its text is plain ASCII, so that no name in a request can break it."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        problem = Problem(
            title=HTTPStatus(status).phrase,
            status=status,
            detail=message,
            error=message,
            code=code,
            trace_id=trace.format_trace_id(trace.get_current_span().get_span_context().trace_id),
            errors=list(errors) or None,
        )
        super().__init__(
            problem.model_dump_json(exclude_none=True),  # UTF-8: people read it in terminals
            status_code=status,
            headers=dict(headers or {}),
        )


def problem_of(error: OrchestratorError) -> ProblemResponse:
    """The problem document of an error that we know how to explain."""
    headers = {}
    if isinstance(error, RetryableError) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    return ProblemResponse(error.status, error.code, error.message, headers=headers)


def render_problems(app: FastAPI) -> None:
    """Make ``app`` answer every error that it knows with a problem document."""
    app.add_exception_handler(OrchestratorError, _our_error)
    app.add_exception_handler(RequestValidationError, _wrong_request)
    app.add_exception_handler(HTTPException, _http_error)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI ``responses`` of a route that may answer with these problem statuses."""
    return {status: _described(status) for status in statuses}


def _described(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}


class LastResort:
    """Answers 500 for what nobody foresaw (the logs, not the caller, are told what), and 503 at a cut-off."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and catch what comes back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            # Only the server cancels a request, when its time at shutdown is over; it does not wait for us.
            if started:
                raise
            await ProblemResponse(503, "shutting_down", CLOSING_MESSAGE)(scope, receive, send)
        except Exception:
            log.exception("request failed unexpectedly", answered=started)
            if started:
                raise  # the server breaks the connection off, so that half an answer is not taken for whole
            await ProblemResponse(500, "internal", INTERNAL_MESSAGE)(scope, receive, send)


async def _our_error(request: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, OrchestratorError)  # noqa: S101 - what it is registered for
    if error.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", code=error.code, exc_info=error)
    elif error.status > HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request refused", code=error.code, reason=error.message)
    if isinstance(error, UnavailableError) and is_from_event_source(request):
        return ComeAgain()
    return problem_of(error)


async def _wrong_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    details = error.errors()
    if _body_was_not_read_as_json(request, details):
        return ProblemResponse(
            400, "unsupported_media_type", "The body must be JSON, with 'Content-Type: application/json'."
        )
    fields = [_field_problem(detail) for detail in details[:MOST_FIELDS_LISTED]]
    sentence = "; ".join(f"{problem.field}: {problem.reason}" for problem in fields)
    return ProblemResponse(400, "invalid_input", f"The request is not valid. {sentence}", errors=fields)


def _body_was_not_read_as_json(request: Request, details: Sequence[Mapping[str, Any]]) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    return has_body and not is_json and any(tuple(detail["loc"]) == ("body",) for detail in details)


def _field_problem(detail: Mapping[str, Any]) -> FieldProblem:
    if detail["type"] == "json_invalid":
        reason = f"not valid JSON: {detail['ctx']['error']} at character {detail['loc'][-1]}"
        return FieldProblem(field="body", reason=reason[:LONGEST_REASON_CHARS])
    place, *path = (str(part) for part in detail["loc"])
    field = ".".join(path) or place
    reason = str(detail["msg"]).removeprefix("Value error, ")
    return FieldProblem(field=field[:LONGEST_FIELD_CHARS], reason=reason[:LONGEST_REASON_CHARS])


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed_methods(request)
    code, message = {
        400: ("invalid_input", "The body is not valid JSON in UTF-8."),
        404: ("not_found", "There is nothing at this address."),
        405: ("method_not_allowed", f"This address takes {headers.get('Allow')} only."),
        413: ("payload_too_large", str(error.detail)),
    }.get(error.status_code, ("http_error", str(error.detail)))
    # Document 001 knows one answer to whatever is wrong with a request; the code tells what it is.
    status = 400 if code == "payload_too_large" else error.status_code
    return ProblemResponse(status, code, message, headers=headers)


def _allowed_methods(request: Request) -> str:
    """All methods of this address; the router by itself names those of the first route alone."""
    routes = request.app.router.routes
    allowed = {
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    }
    if takes_head(request.scope):
        allowed.add("HEAD")
    return ", ".join(method for method in METHODS if method in allowed)

"""What accompanies every request: its ids, its log line, its metrics, the headers of its answer."""

from __future__ import annotations

import random
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

import structlog
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers

from orchestrator.core.ids import new_id
from orchestrator.web.headers import put, put_missing, written
from orchestrator.web.problems import METHODS, ProblemResponse

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from orchestrator.core.telemetry import Metrics

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
LONGEST_PATH_CHARS = 200
UNREADABLE = "This is not a valid HTTP/1.1 request. The service speaks plain HTTP, without TLS."
CLIENT_WENT_AWAY = 499  # nginx's number for a caller that left before the answer began

# An API's answers are data: not to be sniffed, framed, kept, or loaded by other sites' pages.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
WRITTEN_SECURITY_HEADERS = written(SECURITY_HEADERS)

log = structlog.get_logger()


@dataclass(slots=True)
class _Lines:
    """Whether a line was written that tells more of a request than its own would."""

    has_better: bool = False


_lines: ContextVar[_Lines | None] = ContextVar("lines of the request", default=None)


def line_stands_for_request() -> None:
    """Say that the line just written tells of the whole request, so that its own is for those who debug."""
    lines = _lines.get()
    if lines is not None:
        lines.has_better = True


class Accompany:
    """Gives each request and WebSocket its ids, and writes one log line and its metrics when it ends.

    ``X-Request-ID`` is taken over when it is sound and made otherwise; a W3C ``traceparent`` is continued.
    Both are answered, and both are on every log line in between. The log line has the path and its
    template, but no query, no body and nothing about the caller.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, accompanied."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        span = _span(headers)
        request_id, trace_id = _request_id(headers), trace.format_trace_id(span.get_span_context().trace_id)
        answer_headers = written(
            {"X-Request-ID": request_id, "traceparent": _traceparent(span.get_span_context())}
        )
        status = CLIENT_WENT_AWAY

        async def accompanied(message: Message) -> None:
            nonlocal status
            if message["type"].endswith("response.start"):
                status = message["status"]
                put(answer_headers, message)
                put_missing(WRITTEN_SECURITY_HEADERS, message)
            elif message["type"] == "websocket.accept":
                status = HTTPStatus.SWITCHING_PROTOCOLS.value
            await send(message)

        lines = _Lines()
        _lines.set(lines)
        began = time.perf_counter()
        with (
            trace.use_span(span, end_on_exit=False),
            structlog.contextvars.bound_contextvars(request_id=request_id, trace_id=trace_id),
        ):
            try:
                await self.app(scope, receive, accompanied)
            finally:
                self._record(scope, status, time.perf_counter() - began, lines)

    def _record(self, scope: Scope, status: int, duration_s: float, lines: _Lines) -> None:
        method = scope.get("method", "GET")  # a WebSocket begins as one
        method = method if method in METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", "unmatched")
        self.metrics.request_answered(method, route, status, duration_s)
        is_told = lines.has_better and status < HTTPStatus.INTERNAL_SERVER_ERROR
        write = log.debug if is_told else log.info
        write(
            "request",
            method=method,
            path=quote(scope["path"])[:LONGEST_PATH_CHARS],
            route=route,
            status=status,
            duration_ms=round(duration_s * 1_000, 1),
        )


def unreadable() -> Response:
    """The answer to what is no HTTP, with the ids and headers of any other; writes its log line."""
    span = _span(Headers())
    context = span.get_span_context()
    request_id, trace_id = new_id(), trace.format_trace_id(context.trace_id)
    with trace.use_span(span, end_on_exit=False):
        answer = ProblemResponse(400, "invalid_http", UNREADABLE, headers={"Connection": "close"})
    answer.headers.update(
        SECURITY_HEADERS | {"X-Request-ID": request_id, "traceparent": _traceparent(context)}
    )
    log.warning("request unreadable", status=400, request_id=request_id, trace_id=trace_id)
    return answer


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else new_id()


def _span(headers: Headers) -> trace.Span:
    """The span of this request: the recorded one when tracing is on, else one that only carries its ids."""
    current = trace.get_current_span()
    if current.get_span_context().is_valid:
        if current.is_recording():
            current.set_attribute("url.query", "")  # may hold stream tokens: it stays here, as in the logs
        return current
    propagated = TraceContextTextMapPropagator().extract(headers)
    parent = trace.get_current_span(propagated).get_span_context()
    return trace.NonRecordingSpan(
        trace.SpanContext(
            # No secrets: made as OpenTelemetry makes its own, without asking the system each time.
            trace_id=parent.trace_id if parent.is_valid else random.getrandbits(127) + 1,
            span_id=random.getrandbits(63) + 1,
            is_remote=False,
            trace_flags=parent.trace_flags if parent.is_valid else trace.TraceFlags.get_default(),
        )
    )


def _traceparent(context: trace.SpanContext) -> str:
    trace_id, span_id = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
    return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"

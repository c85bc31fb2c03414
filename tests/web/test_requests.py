"""What accompanies every request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import APIRouter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from orchestrator.core.errors import InternalError
from orchestrator.core.settings import Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.auth.access import Anyone
from orchestrator.web.feature import Feature
from orchestrator.web.requests import line_stands_for_request

if TYPE_CHECKING:
    from fastapi import FastAPI

    from support.sample_room import SampleRoom

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_sound_request_id_is_taken_over_and_others_are_replaced(client: httpx2.AsyncClient) -> None:
    """Ids of callers go into logs and answers, so they must be short and plain."""
    taken = await client.get("/health", headers={"X-Request-ID": "order-7.b:1"})
    replaced = [
        (await client.get("/health", headers={"X-Request-ID": given})).headers["x-request-id"]
        for given in ("", "two words", "a" * 129, "line\\nbreak", "<script>")
    ]

    assert taken.headers["x-request-id"] == "order-7.b:1"
    assert all(re.fullmatch(r"[0-9a-f-]{36}", made) for made in replaced)
    assert len(set(replaced)) == len(replaced)


async def test_a_traceparent_is_continued(client: httpx2.AsyncClient) -> None:
    """Same trace, own span, the caller's sampling decision."""
    answer = await client.get("/health", headers={"traceparent": TRACEPARENT})

    version, trace_id, span_id, flags = answer.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", "0af7651916cd43dd8448eb211c80319c", "01")
    assert span_id != "b7ad6b7169203331"


@pytest.mark.parametrize("given", [None, "", "00-xyz", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
async def test_without_a_sound_traceparent_a_trace_begins(
    client: httpx2.AsyncClient, given: str | None
) -> None:
    """Every answer names a valid trace."""
    answer = await client.get("/health", headers={} if given is None else {"traceparent": given})

    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", answer.headers["traceparent"])
    assert "0" * 32 not in answer.headers["traceparent"]


async def test_one_line_per_request_without_query_body_or_caller(client: httpx2.AsyncClient) -> None:
    """The line has method, path, template, status, time and ids, and nothing else."""
    with capture_logs() as lines:
        answer = await client.get(
            "/things/t1?token=hunter2", headers={"X-Request-ID": "r1", "User-Agent": "me"}
        )

    (line,) = lines
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/things/t1",
        "route": "/things/{id}",
        "status": 404,
    }
    assert answer.headers["x-request-id"] == "r1"


async def test_a_line_that_tells_more_takes_the_place_of_the_requests_own() -> None:
    """At the default level; of a request that failed on our side its own line is there as well."""
    router = APIRouter()

    @router.get("/told")
    async def told(_: Anyone, how: str = "") -> None:
        line_stands_for_request()
        if how == "badly":
            raise InternalError

    app = create_app(House(Settings()), [Feature("told", router)])
    transport = httpx2.ASGITransport(app)
    with capture_logs() as lines:
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            for path in ("/told", "/health", "/told?how=badly"):
                await client.get(path)

    shown = [line for line in lines if line["event"] == "request" and line["log_level"] == "info"]
    assert [(line["path"], line["status"]) for line in shown] == [("/health", 200), ("/told", 500)]


async def test_requests_are_counted_by_template(client: httpx2.AsyncClient, app: FastAPI) -> None:
    """Ids, unknown addresses and invented methods do not make new series."""
    await client.get("/things/a")
    await client.get("/things/b")
    await client.get("/no/such/thing")
    await client.request("BREW", "/things")
    value = app.state.metrics.registry.get_sample_value

    def count(method: str, route: str, status: str) -> float | None:
        labels = {"method": method, "route": route, "status": status}
        counted: float | None = value("orchestrator_api_requests_total", labels)
        return counted

    assert count("GET", "/things/{id}", "404") == 2
    assert count("GET", "unmatched", "404") == 1
    assert count("OTHER", "/things", "405") == 1
    assert (
        value("orchestrator_api_request_duration_seconds_count", {"method": "GET", "route": "/things/{id}"})
        == 2
    )


async def test_answers_carry_the_headers_that_keep_browsers_careful(client: httpx2.AsyncClient) -> None:
    """Not sniffed, not framed, not kept, and outside the open routes not loaded by other sites."""
    headers = (await client.get("/ready")).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_with_tracing_on_the_answer_names_the_recorded_span(room: SampleRoom) -> None:
    """The trace id of the answer and of the logs is the one that the collector gets; queries stay here."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(House(Settings(), tracer_provider=provider), [room.feature])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.get("/things/t1?token=hunter2", headers={"traceparent": TRACEPARENT})

    (span,) = exporter.get_finished_spans()
    assert answer.headers["traceparent"] == (
        f"00-0af7651916cd43dd8448eb211c80319c-{span.context.span_id:016x}-01"
    )
    assert span.name == "GET /things/{id}"
    assert "hunter2" not in span.to_json()
    provider.shutdown()

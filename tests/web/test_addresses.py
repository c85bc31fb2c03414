"""Routes are found by looking them up where a search would find the same one."""

from __future__ import annotations

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator.web.addresses import look_up_addresses

METHODS = ("GET", "POST", "DELETE")
PATHS = (
    *(
        "/",
        "/plain",
        "/plain/",
        "/plain%0A",
        "/Plain",
        "/twice",
        "/things/9",
        "/things/late",
        "/things/early",
    ),
    *("/in/plain", "/in/deep/day.run", "/in/deep/dayXrun", "/deep/day.run", "/spoken", "/nowhere"),
)


def application(provider: TracerProvider | None = None) -> FastAPI:
    """Addresses with and without parameters, in routers within routers, that stand in each other's way."""
    app = FastAPI(redirect_slashes=False, telemetry={"tracer_provider": provider, "operation_spans": False})
    outer, inner = APIRouter(), APIRouter(prefix="/deep")

    @app.get("/twice")
    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    @app.get("/twice")
    async def second() -> str:
        return "second"

    @app.delete("/things/early")
    @app.get("/things/early")
    async def early() -> str:
        return "early"

    @app.get("/things/{thing}")
    async def one(thing: str) -> str:
        return f"thing {thing}"

    @app.post("/things/late")
    @app.get("/things/late")
    async def late() -> str:
        return "late"

    @outer.post("/plain")
    async def posted() -> str:
        return "posted"

    @inner.post("/day.run", tags=["tag"])
    async def run() -> str:
        return "run"

    @outer.websocket("/spoken")
    async def spoken(socket: WebSocket) -> None: ...

    outer.include_router(inner)
    app.include_router(outer, prefix="/in")
    app.include_router(inner)
    return app


async def answer(app: FastAPI, method: str, path: str) -> tuple[int, str, str | None]:
    """Status, body and allowed methods."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        given = await client.request(method, path)
    return given.status_code, given.text, given.headers.get("allow")


@pytest.mark.parametrize("path", PATHS)
async def test_a_look_up_comes_to_the_same_as_a_search(path: str) -> None:
    """Whatever stands before what, and for each method."""
    searched, looked_up = application(), application()
    look_up_addresses(looked_up)

    for method in METHODS:
        assert await answer(looked_up, method, path) == await answer(searched, method, path)


async def test_a_span_is_named_by_its_route() -> None:
    """With tracing on, a route that was looked up names it as one that FastAPI has searched for."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    searched, looked_up = application(provider), application(provider)
    look_up_addresses(looked_up)

    for app in (searched, looked_up):
        assert await answer(app, "POST", "/in/deep/day.run") == (200, '"run"', None)

    told = [(span.name, (span.attributes or {})["http.route"]) for span in exporter.get_finished_spans()]
    assert told == 2 * [("POST /in/deep/day.run", "/in/deep/day.run")]
    provider.shutdown()

"""The application: the rooms' routes behind what every request passes."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.telemetry import Metrics
from orchestrator.web.background import Background
from orchestrator.web.docs import docs_router
from orchestrator.web.feature import OpenRoute, Probe
from orchestrator.web.head import HeadAsGet
from orchestrator.web.health import HEALTH_PATH, health_router
from orchestrator.web.limits import BodyLimit, Deadline
from orchestrator.web.openapi import describe
from orchestrator.web.origins import LoopbackOnly, OpenCors, OpenRoutes
from orchestrator.web.problems import LastResort, render_problems
from orchestrator.web.requests import Accompany
from orchestrator.web.sse import Closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import TracerProvider

    from orchestrator.core.settings import Settings
    from orchestrator.web.feature import Feature

DOCUMENT_001_HEALTH = OpenRoute(HEALTH_PATH, frozenset({"GET"}))


@dataclass(frozen=True, slots=True)
class House:
    """What all rooms share at the web's edge."""

    settings: Settings
    clock: Clock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)
    tracer_provider: TracerProvider | None = None  # None while tracing is off


def create_app(
    house: House,
    features: Sequence[Feature],
    *,
    probes: Mapping[str, Probe] | None = None,
    opened: Callable[[], AbstractAsyncContextManager[object]] = nullcontext,
) -> FastAPI:
    """Put the rooms together as one application.

    Args:
        house: Settings, clock and telemetry.
        features: What the rooms bring.
        probes: The health of what no room owns (engine, tables), by component.
        opened: Entered before the rooms' ``on_start`` and left after their background work has ended:
            the place of engine and database.

    Returns:
        The application. ``app.state.closing`` ends its event streams; ``app.state.metrics`` has its metrics.
    """
    closing, background = Closing(), Background(features)
    open_routes = OpenRoutes([DOCUMENT_001_HEALTH, *(route for room in features for route in room.open_cors)])

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as life:
            await life.enter_async_context(opened())
            await life.enter_async_context(background.running())
            yield

    app = FastAPI(
        title="Orchestrator",
        lifespan=lifespan,
        middleware=_passed_by_every_request(house, open_routes),
        redirect_slashes=False,
        docs_url=None,  # its page would load scripts from a foreign host; ours is in docs.py
        redoc_url=None,
        telemetry=_native_telemetry(house),
    )
    app.state.closing = closing
    app.state.metrics = house.metrics
    app.state.shutdown_timeout_s = house.settings.server.shutdown_timeout_s
    render_problems(app)
    app.include_router(
        health_router(
            house.clock,
            closing,
            _all_probes(features, background, probes or {}),
            [room.sessions for room in features if room.sessions is not None],
        )
    )
    for room in features:
        app.include_router(room.router)
    app.include_router(docs_router())
    describe(app)
    return app


def _passed_by_every_request(house: House, open_routes: OpenRoutes) -> list[Middleware]:
    """From the outermost inwards."""
    server = house.settings.server
    return [
        Middleware(Accompany, house.metrics),
        Middleware(LoopbackOnly, open_routes),
        Middleware(OpenCors, open_routes),
        Middleware(LastResort),
        Middleware(Deadline, server.request_timeout_s),
        Middleware(BodyLimit, server.max_body_bytes),
        Middleware(HeadAsGet),
    ]


def _all_probes(
    features: Sequence[Feature], background: Background, others: Mapping[str, Probe]
) -> dict[str, Probe]:
    probes = {**others, "background": background.health}
    for room in features:
        probes |= room.health
    return probes


def _native_telemetry(house: House) -> Any:  # noqa: ANN401 - FastAPI names no public type for it
    return {
        "tracer_provider": house.tracer_provider,
        "tracing": house.tracer_provider is not None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
    }

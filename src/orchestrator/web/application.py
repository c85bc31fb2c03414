"""The application: the rooms' routes behind what every request passes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware

from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.telemetry import Metrics
from orchestrator.web.addresses import look_up_addresses
from orchestrator.web.auth.access import check_access
from orchestrator.web.auth.dev import dev_sign_in
from orchestrator.web.auth.identify import Identify
from orchestrator.web.background import Background
from orchestrator.web.docs import DOCS_PATHS, docs_router
from orchestrator.web.feature import OpenRoute
from orchestrator.web.head import HeadAsGet
from orchestrator.web.health import HEALTH_PATH, READY_PATH, health_router
from orchestrator.web.idempotency.once import Once
from orchestrator.web.limits.body import BodyLimit
from orchestrator.web.limits.counting import Limit
from orchestrator.web.limits.deadline import Deadline
from orchestrator.web.limits.memory import MemoryBuckets
from orchestrator.web.limits.requests import LimitRequests
from orchestrator.web.limits.sign_ins import SignInLimit
from orchestrator.web.openapi import describe
from orchestrator.web.origins import Cors, LoopbackOnly, OpenRoutes
from orchestrator.web.parts import Part, Parts
from orchestrator.web.problems import LastResort, render_problems
from orchestrator.web.requests import Accompany
from orchestrator.web.sse import Closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from opentelemetry.sdk.trace import TracerProvider

    from orchestrator.core.rates import Buckets
    from orchestrator.core.settings import Settings
    from orchestrator.web.audit import Audit
    from orchestrator.web.audit.refusals import Refusals
    from orchestrator.web.auth.sign_in import SignIn
    from orchestrator.web.feature import Feature, Probe
    from orchestrator.web.idempotency.answers import Answers

BACKGROUND = "background"  # the rooms' own work, as /health calls it
REQUESTS = "requests"  # the limit on all requests, as clients see it
SIGN_INS = "sign_ins"  # that on refused sign-ins
FREE_PATHS = frozenset({HEALTH_PATH, READY_PATH, *DOCS_PATHS})  # of that limit
DOCUMENT_001_HEALTH = OpenRoute(HEALTH_PATH, frozenset({"GET"}))


@dataclass(frozen=True, slots=True)
class House:
    """What all rooms share at the web's edge."""

    settings: Settings
    clock: Clock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)
    tracer_provider: TracerProvider | None = None  # None while tracing is off
    sign_in: SignIn = field(default_factory=dev_sign_in)
    buckets: Buckets = field(default_factory=lambda: MemoryBuckets(SystemClock()))
    audit: Audit | None = None  # None without tables: then nothing is on record
    refusals: Refusals | None = None  # of sign-ins
    answers: Answers | None = None  # None without tables: then an Idempotency-Key is nothing but a header


def create_app(house: House, features: Sequence[Feature], *, parts: Sequence[Part] = ()) -> FastAPI:
    """Put the rooms together as one application.

    Args:
        house: Settings, clock and telemetry.
        features: What the rooms bring.
        parts: What no room owns (tables, streams, engine). They are opened before the rooms' ``on_start`` and
            closed after their background work has ended. Until all are open the rooms' routes answer 503.

    Returns:
        The application. ``app.state.closing`` ends its event streams, ``app.state.metrics`` has its metrics,
        ``app.state.sign_in`` tells who has a token that came otherwise than in a header,
        ``app.state.parts`` tells should its start fail after it began to listen.

    Raises:
        RuntimeError: a route does not say who may call it.
    """
    closing, background = Closing(), Background(features)
    begun = Part(BACKGROUND, background.running, health=background.health)
    all_parts = Parts([*parts, begun])
    open_routes = OpenRoutes([DOCUMENT_001_HEALTH, *(route for room in features for route in room.open_cors)])
    refused = Limit(SIGN_INS, house.settings.limits.refused_sign_ins)
    sign_ins = SignInLimit(house.buckets, refused, house.refusals)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with all_parts.opened():
            yield

    async def check_open() -> None:
        all_parts.check()

    app = FastAPI(
        title="Orchestrator",
        lifespan=lifespan,
        middleware=_passed_by_every_request(house, open_routes, sign_ins),
        redirect_slashes=False,
        openapi_url=None,  # in docs.py, where it says who may read it
        docs_url=None,  # its page would load scripts from a foreign host; ours is in docs.py
        redoc_url=None,
        telemetry=_native_telemetry(house),
    )
    app.state.closing = closing
    app.state.sign_ins = sign_ins
    app.state.parts = all_parts
    _keep_state(app, house)
    render_problems(app)
    counts = [room.sessions for room in features if room.sessions is not None]
    app.include_router(health_router(house.clock, closing, _all_probes(features, all_parts), counts))
    for room in features:
        app.include_router(room.router, dependencies=[Depends(check_open)])
    app.include_router(docs_router())
    describe(app, house.sign_in, takes_keys=house.answers is not None)
    check_access(app)
    look_up_addresses(app)
    return app


def _keep_state(app: FastAPI, house: House) -> None:
    """What dependencies of routes, and the server, find in the application."""
    app.state.sign_in = house.sign_in
    app.state.metrics = house.metrics
    app.state.audit = house.audit
    app.state.refusals = house.refusals
    app.state.shutdown_timeout_s = house.settings.server.shutdown_timeout_s


def _passed_by_every_request(
    house: House, open_routes: OpenRoutes, sign_ins: SignInLimit
) -> list[Middleware]:
    """From the outermost inwards."""
    server = house.settings.server
    return [
        Middleware(Accompany, house.metrics),
        *([Middleware(LoopbackOnly, open_routes)] if house.sign_in.is_dev else []),
        Middleware(Cors, open_routes, is_dev=house.sign_in.is_dev),
        Middleware(LastResort),
        Middleware(Deadline, server.request_timeout_s),
        Middleware(Identify, house.sign_in, sign_ins),
        Middleware(LimitRequests, house.buckets, Limit(REQUESTS, house.settings.limits.requests), FREE_PATHS),
        Middleware(BodyLimit, server.max_body_bytes),
        *([Middleware(Once, house.answers)] if house.answers else []),
        Middleware(HeadAsGet),
    ]


def _all_probes(features: Sequence[Feature], parts: Parts) -> dict[str, Probe]:
    probes = dict(parts.probes)
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

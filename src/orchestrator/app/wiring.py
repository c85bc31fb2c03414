"""The processes, put together: rooms on backends.

A room is one line in `_rooms`. Everything else is chosen from the settings in `backends`, opened in the order
in which one part needs another, and closed in the opposite order.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from fastapi import APIRouter

from orchestrator.app import admin, backends, events, persons, schedules
from orchestrator.app.data_dir import Claim, claimed
from orchestrator.app.encryption import encryption_of
from orchestrator.app.persons import Persons, kept_by
from orchestrator.app.sharing import check_shared
from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import SettingsError
from orchestrator.core.telemetry import Metrics, tracer_provider
from orchestrator.durable.codec import codec_for
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.features import days, lessons
from orchestrator.web import webhooks
from orchestrator.web.application import House, create_app
from orchestrator.web.audit import Audit
from orchestrator.web.audit import routes as audit_routes
from orchestrator.web.audit.refusals import Refusals
from orchestrator.web.auth.access import tags_of_users
from orchestrator.web.auth.configured import sign_in_of
from orchestrator.web.auth.keys import routes as key_routes
from orchestrator.web.auth.keys.service import KeyStore
from orchestrator.web.events import Outbox
from orchestrator.web.feature import Feature, Resources
from orchestrator.web.idempotency.answers import Answers
from orchestrator.web.limits.memory import MemoryBuckets
from orchestrator.web.parts import Part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from fastapi import FastAPI

    from orchestrator.app.backends import Backends
    from orchestrator.core.settings import Settings
    from orchestrator.durable.embedded import EmbeddedEngine
    from orchestrator.durable.runs import RunInfo
    from orchestrator.durable.temporal import TemporalEngine
    from orchestrator.web.auth.sign_in import SignIn


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of one service, put together. Entering ``app``'s lifespan opens them."""

    app: FastAPI
    engine: EmbeddedEngine | TemporalEngine
    features: tuple[Feature, ...]
    claim: Claim
    metrics: Metrics
    resources: Resources


@contextmanager
def built(settings: Settings) -> Iterator[Service]:
    """Have the data directory and a service on it while inside.

    Raises:
        ConflictError: another process has the data directory.
        SettingsError: it cannot be used, or the settings ask for what does not go together.
    """
    on_temporal, works = settings.engine == "temporal", settings.temporal.workers
    if on_temporal and not works:
        check_shared(settings, "A service without workers")
    if not on_temporal and not works:
        raise SettingsError(
            "temporal.workers is false (--no-workers), and the embedded engine works in its own process "
            "alone. Set engine to temporal, or leave temporal.workers out."
        )
    with claimed(settings.data_dir) as claim:
        metrics = Metrics()
        if on_temporal:
            chosen = backends.temporal(
                settings,
                _counting(metrics),
                [claim.token],
                works=works,
                finish_s=settings.server.shutdown_timeout_s,
            )
        else:
            chosen = backends.embedded(settings, _counting(metrics), [claim.token])
        resources = _resources(settings, chosen, metrics)
        rooms = _rooms(resources)
        engine = chosen.engine
        keys = KeyStore(chosen.database, chosen.clock, key_scopes(rooms), chosen.audit)
        refusals = Refusals(chosen.audit, chosen.clock)
        routes = (
            admin.build(lambda: engine),
            schedules.build(lambda: engine),
            events.build(resources),
            key_routes.build(keys),
            audit_routes.build(chosen.audit, refusals),
            persons.build(_persons(resources, rooms), kept_by(settings)),
        )
        features = (*rooms, *routes)
        sign_in = sign_in_of(settings.auth, chosen.clock, operator_token=claim.token, keys=keys)
        app = _application(
            settings, chosen, metrics, rooms, shown=features, sign_in=sign_in, refusals=refusals
        )
        yield Service(app, engine, features, claim, metrics, resources)


def worker(settings: Settings) -> FastAPI:
    """A process that works on runs and answers nobody but probes: its application has no room's routes.

    Raises:
        SettingsError: something is not set that it shares with other processes.
    """
    check_shared(settings, "A worker")
    metrics = Metrics()
    finish_s = settings.server.shutdown_timeout_s
    chosen = backends.temporal(settings, _counting(metrics), works=True, finish_s=finish_s)
    rooms = _rooms(_resources(settings, chosen, metrics))
    return _application(
        settings, chosen, metrics, rooms, shown=(), sign_in=sign_in_of(settings.auth, chosen.clock)
    )


def code_of(settings: Settings) -> tuple[Feature, ...]:
    """The rooms of a service with these settings, for their workflows and steps; nothing is opened."""
    database, blobs = backends.database_of(settings), backends.blobs_of(settings)
    # Whether there is a model makes no difference to which steps there are.
    clock = SystemClock()
    return _rooms(
        Resources(
            settings=settings,
            clock=clock,
            metrics=Metrics(),
            engine=_no_engine,
            database=database,
            streams=_no_streams,
            outbox=Outbox(database, _no_streams, clock),
            audit=Audit(database, clock, retention=None),
            blobs=blobs,
            buckets=MemoryBuckets(clock),
            model=None,
        )
    )


def _persons(resources: Resources, rooms: Sequence[Feature]) -> Persons:
    return Persons(
        database=resources.database,
        engine=resources.engine,
        streams=resources.streams,
        audit=resources.audit,
        rooms=rooms,
        clock=resources.clock,
    )


def key_scopes(rooms: Sequence[Feature]) -> frozenset[str]:
    """What API keys may be made for: what the rooms have for users, and events."""
    return frozenset({"events"}).union(*(tags_of_users(room.router) for room in rooms))


def _no_engine() -> NoReturn:
    raise EngineStoppedError("this service was put together to be looked at; it has no engine")


def _no_streams() -> NoReturn:
    raise EngineStoppedError("this service was put together to be looked at; it has no streams")


def _counting(metrics: Metrics) -> Callable[[RunInfo], None]:
    def count(run: RunInfo) -> None:
        took = (run.closed_at or run.created_at) - run.created_at
        metrics.workflow_ended(run.workflow, run.status, took.total_seconds())

    return count


def _resources(settings: Settings, chosen: Backends, metrics: Metrics) -> Resources:
    return Resources(
        settings=settings,
        clock=chosen.clock,
        metrics=metrics,
        engine=lambda: chosen.engine,
        database=chosen.database,
        streams=chosen.streams,
        outbox=chosen.outbox,
        audit=chosen.audit,
        blobs=chosen.blobs,
        buckets=chosen.buckets,
        model=chosen.model,
    )


def _application(
    settings: Settings,
    chosen: Backends,
    metrics: Metrics,
    rooms: Sequence[Feature],
    *,
    shown: Sequence[Feature],
    sign_in: SignIn,
    refusals: Refusals | None = None,
) -> FastAPI:
    """An application with the routes of ``shown``, on an engine that has the code of all ``rooms``."""
    engine = chosen.engine
    for room in rooms:
        engine.add(workflows=room.workflows, steps=room.steps)
    metrics.workflows_active.set_function(lambda: engine.active)
    answers = Answers(chosen.database, chosen.clock, longest_s=settings.server.request_timeout_s)
    house = House(
        settings=settings,
        clock=chosen.clock,
        metrics=metrics,
        tracer_provider=tracer_provider(settings.telemetry),
        sign_in=sign_in,
        buckets=chosen.buckets,
        audit=chosen.audit,
        refusals=refusals,
        answers=answers,
    )
    sweeps = Feature("sweeps", APIRouter(), background=(answers.sweep_always,))
    return create_app(house, (*shown, sweeps), parts=(_tracing(house), *_with(rooms, chosen.parts)))


def _with(rooms: Sequence[Feature], parts: Sequence[Part]) -> tuple[Part, ...]:
    """All parts in order: what rooms stand on is there after the tables, and until all steps have ended."""
    engine = next(place for place, part in enumerate(parts) if part.name == backends.ENGINE)
    of_rooms = (part for room in rooms for part in room.parts)
    return (*parts[:engine], *of_rooms, *parts[engine:])


def _tracing(house: House) -> Part:
    """Sends what is left of the traces at the end."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        try:
            yield
        finally:
            if house.tracer_provider is not None:
                house.tracer_provider.shutdown()

    return Part("tracing", opened)


def _rooms(resources: Resources) -> tuple[Feature, ...]:
    """The rooms of this service: one line each."""
    codec = codec_for(encryption_of(resources.settings))
    rooms = (lessons.build(resources), days.build(resources))
    told = [event for room in rooms for event in room.events]
    return (*rooms, webhooks.build(resources, codec, told))

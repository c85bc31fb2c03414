"""Which part is which: the only file that names concrete backends.

A room is one line in `_rooms`. Everything else is chosen from the settings, opened in the order in which
one part needs another, and closed in the opposite order.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from orchestrator.app import admin, schedules
from orchestrator.app.data_dir import BLOBS_DIRECTORY, JOURNAL_FILE, TABLES_FILE, Claim, claimed
from orchestrator.app.encryption import encryption_of
from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import OrchestratorError, SettingsError
from orchestrator.core.redaction import secrets_in
from orchestrator.core.telemetry import Metrics, tracer_provider
from orchestrator.db import Database
from orchestrator.durable.embedded import EmbeddedEngine
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.features import lessons
from orchestrator.journal.blobs import BlobStore
from orchestrator.web.application import House, create_app
from orchestrator.web.feature import Component, Feature, Resources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fastapi import FastAPI

    from orchestrator.agents.openai_model import OpenAIModel
    from orchestrator.core.clock import Clock
    from orchestrator.core.settings import Settings
    from orchestrator.durable.runs import RunInfo


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of one service, put together. Entering ``app``'s lifespan opens them."""

    app: FastAPI
    engine: EmbeddedEngine
    features: tuple[Feature, ...]
    claim: Claim
    metrics: Metrics


@contextmanager
def built(settings: Settings) -> Iterator[Service]:
    """Have the data directory and a service on it while inside.

    Raises:
        ConflictError: another process has the data directory.
        SettingsError: it cannot be used, or the settings ask for a part that is not there.
    """
    if settings.engine != "embedded":
        raise SettingsError(
            "engine is 'temporal', which this version cannot serve with yet. Set it to 'embedded'."
        )
    with claimed(settings.data_dir) as claim:
        yield _assembled(settings, claim)


def code_of(settings: Settings) -> tuple[Feature, ...]:
    """The rooms of a service with these settings, for their workflows and steps; nothing is opened."""
    database = Database.of(settings.database, settings.data_dir / TABLES_FILE)
    blobs = BlobStore(settings.data_dir / BLOBS_DIRECTORY)
    # Whether there is a model makes no difference to which steps there are.
    return _rooms(Resources(settings, SystemClock(), _no_engine, database, blobs, model=None))


def _no_engine() -> NoReturn:
    raise EngineStoppedError("this service was put together to be looked at; it has no engine")


def _assembled(settings: Settings, claim: Claim) -> Service:
    clock = SystemClock()
    metrics = Metrics()

    def count(run: RunInfo) -> None:
        took = (run.closed_at or run.created_at) - run.created_at
        metrics.workflow_ended(run.workflow, run.status, took.total_seconds())

    engine = EmbeddedEngine(
        settings.data_dir / JOURNAL_FILE,
        clock=clock,
        most_payload_bytes=settings.payloads.max_bytes,
        retention=settings.journal.retention,
        encryption=encryption_of(settings),
        secrets=[*secrets_in(settings), claim.token],
        on_ended=count,
    )
    metrics.workflows_active.set_function(lambda: engine.active)
    model = _model(settings, clock)
    resources = Resources(
        settings=settings,
        clock=clock,
        engine=lambda: engine,
        database=Database.of(settings.database, settings.data_dir / TABLES_FILE),
        blobs=BlobStore(settings.data_dir / BLOBS_DIRECTORY),
        model=model,
    )
    features = (
        *_rooms(resources),
        admin.build(resources.engine, claim.token),
        schedules.build(resources.engine, claim.token),
    )
    for feature in features:
        engine.add(workflows=feature.workflows, steps=feature.steps)
    house = House(settings, clock, metrics, tracer_provider(settings.telemetry))

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        async with AsyncExitStack() as parts:
            if house.tracer_provider is not None:
                parts.callback(house.tracer_provider.shutdown)
            if model is not None:
                parts.push_async_callback(model.aclose)
            await parts.enter_async_context(resources.database)
            await parts.enter_async_context(engine)
            yield

    async def engine_health() -> Component:
        try:
            engine.check()
        except OrchestratorError as error:
            return Component("unhealthy", error.message)
        await engine.list(limit=1)
        return Component("healthy")

    async def tables_health() -> Component:
        try:
            await resources.database.check()
        except OrchestratorError as error:
            return Component("unhealthy", error.message)
        return Component("healthy")

    probes = {"engine": engine_health, "tables": tables_health}
    app = create_app(house, features, probes=probes, opened=opened)
    return Service(app, engine, features, claim, metrics)


def _model(settings: Settings, clock: Clock) -> OpenAIModel | None:
    """The model that is configured. Its library is large, and left alone where there is none."""
    if not settings.model.is_configured:
        return None
    from orchestrator.agents.openai_model import OpenAIModel

    return OpenAIModel(settings.model, clock=clock)


def _rooms(resources: Resources) -> tuple[Feature, ...]:
    """The rooms of this service: one line each."""
    return (lessons.build(resources),)

"""Which part is which: the only file that names concrete backends.

What the settings name is made here and opened by nobody yet: `Backends.parts` says how, and in which order.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.app.data_dir import BLOBS_DIRECTORY, JOURNAL_FILE, STREAMS_FILE, TABLES_FILE
from orchestrator.app.encryption import encryption_of
from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import OrchestratorError, SettingsError
from orchestrator.core.redaction import secrets_in
from orchestrator.db import Database
from orchestrator.durable.embedded import EmbeddedEngine
from orchestrator.journal.blobs import BlobStore, BucketBlobs
from orchestrator.streams.file import FileStreams
from orchestrator.web.audit import Audit
from orchestrator.web.events import Outbox
from orchestrator.web.feature import Component
from orchestrator.web.limits.failover import Failover
from orchestrator.web.limits.memory import MemoryBuckets
from orchestrator.web.parts import Part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from pydantic import SecretStr

    from orchestrator.agents.openai_model import OpenAIModel
    from orchestrator.core.clock import Clock
    from orchestrator.core.rates import Buckets
    from orchestrator.core.settings import PayloadSettings, Settings, TemporalSettings
    from orchestrator.durable.runs import RunInfo
    from orchestrator.durable.temporal import TemporalEngine, Tls
    from orchestrator.durable.temporal.s3_store import S3Store
    from orchestrator.durable.workflows import Workflow
    from orchestrator.journal.blobs import Blobs
    from orchestrator.streams import RedisStreams, Streams
    from orchestrator.web.feature import Probe

    OnEnded = Callable[[RunInfo], None]

ENGINE = "engine"  # as /health calls it
PICTURES = "_pictures"  # where they are in what processes share; no Temporal namespace begins so


@dataclass(frozen=True, slots=True)
class Backends:
    """What a process stands on. ``parts`` opens all of it, in the order in which one needs another."""

    clock: Clock
    database: Database
    streams: Callable[[], Streams]
    outbox: Outbox
    audit: Audit
    blobs: Blobs
    model: OpenAIModel | None
    buckets: Buckets
    engine: EmbeddedEngine | TemporalEngine
    parts: tuple[Part, ...]


def embedded(settings: Settings, on_ended: OnEnded, secrets: Iterable[str] = ()) -> Backends:
    """Everything in this process, and runs and streams in one file of the data directory.

    ``secrets`` are hidden from watchers, as those of the settings are.
    """
    clock = SystemClock()
    engine = EmbeddedEngine(
        settings.data_dir / JOURNAL_FILE,
        clock=clock,
        most_payload_bytes=settings.payloads.max_bytes,
        retention=settings.journal.retention,
        encryption=encryption_of(settings),
        secrets=[*secrets_in(settings), *secrets],
        on_ended=on_ended,
    )

    async def health() -> Component:
        engine.check()
        await engine.list(limit=1)
        return Component("healthy")

    part = Part(ENGINE, lambda: engine, health=_told(health))
    return _backends(settings, clock, engine, lambda: engine.streams, part)


def temporal(
    settings: Settings,
    on_ended: OnEnded,
    secrets: Iterable[str] = (),
    *,
    works: bool,
    finish_s: float = 0.0,
) -> Backends:
    """Runs on a Temporal cluster, streams in Redis or, for a single process, in the data directory.

    ``works`` says whether this process works on runs, ``finish_s`` how long steps get at its end.
    """
    clock = SystemClock()
    streams, *of_streams = _streams(settings, clock)
    pictures = _bucket(settings.payloads)
    engine = temporal_engine(settings, streams, on_ended, secrets, works=works, finish_s=finish_s)

    async def health() -> Component:
        engine.check()
        await engine.reach()
        return Component("healthy")

    part = Part(ENGINE, lambda: engine, engine.reach, _told(health))
    if pictures is None:
        return _backends(settings, clock, engine, lambda: streams, *of_streams, part)
    blobs = BucketBlobs(pictures, PICTURES)
    opened = Part("pictures", lambda: pictures)
    return _backends(settings, clock, engine, lambda: streams, *of_streams, opened, part, blobs=blobs)


def temporal_engine(  # what a process brings to it
    settings: Settings,
    streams: Streams | None = None,
    on_ended: OnEnded | None = None,
    secrets: Iterable[str] = (),
    *,
    works: bool,
    finish_s: float = 0.0,
) -> TemporalEngine:
    """An engine on the Temporal cluster that is configured.

    Raises:
        SettingsError: what it needs is not installed.
    """
    with _installed():
        from orchestrator.durable.temporal import TemporalEngine

    cluster = settings.temporal
    return TemporalEngine(
        cluster.host_port,
        namespace=cluster.namespace,
        tls=_tls(cluster),
        api_key=_secret(cluster.api_key),
        streams=streams,
        value_store=_bucket(settings.payloads) or settings.payloads.store_dir,
        most_payload_bytes=settings.payloads.max_bytes,
        encryption=encryption_of(settings),
        secrets=[*secrets_in(settings), *secrets],
        task_queue=cluster.task_queue,
        works=works,
        most_steps_at_once=cluster.max_concurrent_steps,
        finish_s=finish_s,
        on_ended=on_ended,
    )


@asynccontextmanager
async def temporal_for_reading(
    settings: Settings, workflows: Iterable[Workflow[Any, Any]]
) -> AsyncIterator[TemporalEngine]:
    """An open engine that tells of the runs on the cluster, and works on none.

    Without Redis, events come from the cluster's histories: a file of streams is its service's alone.
    """
    async with AsyncExitStack() as opened:
        streams = None
        if settings.redis.address is not None:
            streams = await opened.enter_async_context(_redis(settings.redis.address, SystemClock()))
        engine = temporal_engine(settings, streams, works=False)
        engine.add(workflows=workflows)
        yield await opened.enter_async_context(engine)


def database_of(settings: Settings) -> Database:
    """The tables: PostgreSQL where it is set, or else a file."""
    return Database.of(settings.database, settings.data_dir / TABLES_FILE)


def blobs_of(settings: Settings) -> BlobStore:
    """Pictures as files, in the directory that processes share where one is set."""
    shared = settings.payloads.store_dir
    return BlobStore(shared / PICTURES if shared else settings.data_dir / BLOBS_DIRECTORY)


def _backends(
    settings: Settings,
    clock: Clock,
    engine: EmbeddedEngine | TemporalEngine,
    streams: Callable[[], Streams],
    *others: Part,
    blobs: Blobs | None = None,
) -> Backends:
    model = _model(settings, clock)
    database = database_of(settings)
    buckets, *of_buckets = _buckets(settings, clock)
    first = (_closed_at_the_end(model),) if model else ()
    outbox = Outbox(database, streams, clock)
    relay = Part("events", lambda: outbox, health=outbox.health)
    return Backends(
        clock=clock,
        database=database,
        streams=streams,
        outbox=outbox,
        audit=Audit(database, clock, retention=settings.audit.retention),
        blobs=blobs or blobs_of(settings),
        model=model,
        buckets=buckets,
        engine=engine,
        parts=(*first, *of_buckets, _tables(settings, database), *others, relay),
    )


def _buckets(settings: Settings, clock: Clock) -> tuple[Buckets, *tuple[Part, ...]]:
    """What limits are counted in. Nobody waits for Redis on their account."""
    own = MemoryBuckets(clock)
    if settings.redis.address is None:
        return (own,)
    with _installed():
        from orchestrator.web.limits.redis import RedisBuckets
    shared = RedisBuckets(settings.redis.address)
    buckets = Failover(shared, own, clock)

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await shared.close()

    async def health() -> Component:
        if buckets.is_on_its_own:
            return Component("degraded", "Redis does not answer, so each process counts for itself")
        return Component("healthy")

    return buckets, Part("limits", opened, health=health)


def _model(settings: Settings, clock: Clock) -> OpenAIModel | None:
    """The model that is configured. Its library is large, and left alone where there is none."""
    if not settings.model.is_configured:
        return None
    from orchestrator.agents.openai_model import OpenAIModel

    return OpenAIModel(settings.model, clock=clock)


def _closed_at_the_end(model: OpenAIModel) -> Part:
    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await model.aclose()

    return Part("model", opened)


def _tables(settings: Settings, database: Database) -> Part:
    async def health() -> Component:
        await database.check()
        return Component("healthy")

    # To look for a file would make it.
    reach = database.check if settings.database.postgres else None
    return Part("tables", lambda: database, reach, _told(health))


def _streams(settings: Settings, clock: Clock) -> tuple[Streams, Part]:
    """Where watchers read the events of runs."""
    if settings.redis.address is None:
        file = FileStreams(settings.data_dir / STREAMS_FILE, clock)
        return file, Part("streams", lambda: file)
    redis = _redis(settings.redis.address, clock)

    async def reach() -> None:
        await redis.check()

    async def health() -> Component:
        facts = await redis.check()
        return Component("degraded", facts.warning) if facts.warning else Component("healthy")

    return redis, Part("streams", lambda: redis, reach, _told(health))


def _redis(address: str, clock: Clock) -> RedisStreams:
    with _installed():
        from orchestrator.streams.redis import RedisStreams

    return RedisStreams(address, clock=clock)


def _bucket(payloads: PayloadSettings) -> S3Store | None:
    """A client of the S3 bucket that is set; whoever uses it opens it."""
    if payloads.s3_bucket is None:
        return None
    from orchestrator.durable.temporal.s3_store import S3Store

    return S3Store(
        payloads.s3_bucket,
        endpoint_url=payloads.s3_endpoint_url,
        region=payloads.s3_region,
        access_key_id=payloads.s3_access_key_id,
        secret_access_key=_secret(payloads.s3_secret_access_key),
    )


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


@contextmanager
def _installed() -> Iterator[None]:
    """An import of what comes with an extra.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.msg}.") from error


def _tls(cluster: TemporalSettings) -> bool | Tls:
    if not cluster.has_tls_details:
        return cluster.tls
    from orchestrator.durable.temporal import Tls

    return Tls(cluster.tls_ca_file, cluster.tls_cert_file, cluster.tls_key_file, cluster.tls_server_name)


def _told(probe: Probe) -> Probe:
    """The same, with an error that we know how to explain told as the part's health."""

    async def health() -> Component:
        try:
            return await probe()
        except OrchestratorError as error:
            return Component("unhealthy", error.message)

    return health

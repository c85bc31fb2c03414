"""What a room takes, and what it brings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from fastapi import APIRouter

    from orchestrator.agents.model import Model
    from orchestrator.core.clock import Clock
    from orchestrator.core.rates import Buckets
    from orchestrator.core.settings import Settings
    from orchestrator.core.telemetry import Metrics
    from orchestrator.db import Database
    from orchestrator.durable.engine import Engine
    from orchestrator.durable.workflows import Workflow
    from orchestrator.journal.blobs import Blobs
    from orchestrator.streams import Streams
    from orchestrator.web.audit import Audit
    from orchestrator.web.events import Outbox
    from orchestrator.web.parts import Part


@dataclass(frozen=True, slots=True)
class Component:
    """How a part of the service is: what ``/health`` and ``/ready`` tell."""

    status: Literal["healthy", "degraded", "unhealthy"]  # degraded still serves; unhealthy is not ready
    detail: str | None = None  # for people: what is wrong and what would mend it


Hook = Callable[[], Awaitable[None]]
Probe = Callable[[], Awaitable[Component]]
Count = Callable[[], Awaitable[int]]
Settle = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class OpenRoute:
    """A route that pages of any origin may use."""

    path: str  # its template, such as /api/sessions/{id}
    methods: frozenset[str]  # such as GET


@dataclass(frozen=True, slots=True)
class Resources:
    """What a room's ``build(resources)`` may use."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    engine: Callable[[], Engine]  # asked at call time: the engine is made from what the rooms bring
    database: Database
    streams: Callable[[], Streams]  # likewise: the embedded engine has them in its own file
    outbox: Outbox
    audit: Audit  # what is done without a request; routes take a `Trail`
    blobs: Blobs
    buckets: Buckets  # for limits on what rooms do besides answering, such as calling agents
    model: Model | None  # None: the room does what it can without


class Belongings(Protocol):
    """What a room keeps of a person besides rows with an owner and runs, such as pictures."""

    def files(self, user: str) -> AsyncIterator[tuple[str, bytes]]:
        """All of it, each with a name that is safe in a path, such as ``ID/image1.jpg``."""
        ...

    async def erase(self, user: str) -> int:
        """Remove all of it, with the runs and rows that it hangs on; how many things. Twice does no harm.

        Raises:
            UnavailableError: something takes its time to end. Call again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Feature:
    """What a room brings to the service."""

    name: str
    router: APIRouter
    workflows: tuple[Workflow[Any, Any], ...] = ()  # functions with @workflow
    steps: tuple[object, ...] = ()  # functions with @step, or instances of classes that have them
    parts: tuple[Part, ...] = ()  # what its steps stand on; opened before the engine, closed after it
    on_start: tuple[Hook, ...] = ()  # awaited once before the first request, such as a sweep
    background: tuple[Hook, ...] = ()  # run for the service's life, cancelled at its end
    health: Mapping[str, Probe] = field(default_factory=lambda: MappingProxyType({}))  # by component
    events: tuple[str, ...] = ()  # the types of what it tells of, by which webhooks choose
    sessions: Count | None = None  # how many sessions run now; summed in /health
    belongings: Belongings | None = None  # what it keeps of a person besides rows and runs
    before_giving: tuple[Settle, ...] = ()  # so that rows can go from one owner (the first) to another
    open_cors: tuple[OpenRoute, ...] = ()  # document 001's open CORS; every other route is for local pages

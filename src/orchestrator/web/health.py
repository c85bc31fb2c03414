"""``/health`` for people and monitors, ``/ready`` for whoever sends requests here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.core.clock import rfc3339, utc
from orchestrator.core.errors import OrchestratorError, UnavailableError
from orchestrator.web.auth.access import Anyone
from orchestrator.web.feature import Component
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.core.clock import Clock
    from orchestrator.web.feature import Count, Probe
    from orchestrator.web.sse import Closing

PROBE_TIMEOUT_S = 2.0
HEALTH_PATH = "/health"
READY_PATH = "/ready"
Status = Literal["healthy", "degraded", "unhealthy"]

log = structlog.get_logger()


class ComponentHealth(BaseModel):
    """How one part is."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    status: Status = Field(description="degraded still serves, unhealthy does not.")
    detail: str | None = Field(None, description="What is wrong and what would mend it.")


class Health(BaseModel):
    """How the service is."""

    status: Status = Field(description="The worst status among the components.")
    timestamp: str = Field(description="Now, as RFC 3339 in UTC.", examples=["2023-10-14T23:58:35Z"])
    sessions: int | None = Field(
        ge=0, description="How many sessions are running; null while nobody can tell, since a part is away."
    )
    components: dict[str, ComponentHealth] = Field(description="Each part, by name.")


class Ready(BaseModel):
    """The service takes requests."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    status: Literal["ready"] = Field("ready", description="What is not ready answers 503.")


def health_router(
    clock: Clock, closing: Closing, probes: Mapping[str, Probe], counts: Sequence[Count]
) -> APIRouter:
    """The two routes, over the components' ``probes`` and the rooms' counts of running sessions."""
    router = APIRouter(tags=["health"])

    @router.get(HEALTH_PATH, summary="How the service is")
    async def health(_: Anyone) -> Health:
        """Answers 200 as long as the process serves, whatever its components say."""
        components = await _ask_all(probes)
        return Health(
            status=_worst(components),
            timestamp=rfc3339(utc(clock.time())),
            sessions=await _sum(counts),
            components={
                name: ComponentHealth(status=component.status, detail=component.detail)
                for name, component in components.items()
            },
        )

    @router.get(READY_PATH, summary="Whether the service takes requests", responses=problems(503))
    async def ready(_: Anyone) -> Ready:
        """Answers 503 and says what is missing while a component is unhealthy or the service closes."""
        if closing.begun:
            raise UnavailableError("Not ready: the service is shutting down.", code="not_ready")
        components = await _ask_all(probes)
        missing = [
            f"{name} ({component.detail})" if component.detail else name
            for name, component in components.items()
            if component.status == "unhealthy"
        ]
        if missing:
            raise UnavailableError(f"Not ready: {', '.join(missing)}.", code="not_ready")
        return Ready()

    return router


async def _ask_all(probes: Mapping[str, Probe]) -> dict[str, Component]:
    answers = await asyncio.gather(*(_ask(name, probe) for name, probe in probes.items()))
    return dict(zip(probes, answers, strict=True))


async def _ask(name: str, probe: Probe) -> Component:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return await probe()
    except Exception:
        log.exception("health probe failed", component=name)
        return Component("unhealthy", "its check failed; the logs tell more")


async def _sum(counts: Sequence[Count]) -> int | None:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return sum([await count() for count in counts])
    except (OrchestratorError, TimeoutError) as error:
        # Which part is away is told beside it, and logged once, not at every probe.
        log.debug("sessions cannot be counted", reason=str(error))
        return None


def _worst(components: Mapping[str, Component]) -> Status:
    order: tuple[Status, ...] = ("healthy", "degraded", "unhealthy")
    return max((component.status for component in components.values()), key=order.index, default="healthy")

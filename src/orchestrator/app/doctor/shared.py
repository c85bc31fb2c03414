"""What processes share: the Temporal cluster, and Redis for streams and limits."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

from orchestrator.app import backends
from orchestrator.app.doctor.report import Check
from orchestrator.app.sharing import check_shared
from orchestrator.core.errors import OrchestratorError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.core.settings import Settings
    from orchestrator.streams.redis.connection import RedisConnection
    from orchestrator.web.parts import Part

# By part: where it is set, for whoever has to mend it.
MENDS = {
    "engine": "Start the Temporal server, or correct temporal.host_port and temporal.namespace.",
    "streams": "Start Redis, or correct redis.addr or redis.url.",
}


def cluster(settings: Settings) -> Iterator[Check]:
    """Whether the cluster and the streams can be reached."""
    temporal = settings.temporal
    found = {
        "engine": f"temporal: {temporal.host_port}, namespace {temporal.namespace}",
        "streams": "Redis answers",
    }
    try:
        if not temporal.workers:
            check_shared(settings, "A service without workers")
        chosen = backends.temporal(settings, lambda _: None, works=False)
    except SettingsError as error:
        yield Check("engine", "broken", error.message, "Correct the settings, or set engine to embedded.")
        return
    for part in chosen.parts:
        if part.name in found and part.reach is not None:
            trouble = asyncio.run(_trouble(part))
            broken = Check(part.name, "broken", trouble, MENDS[part.name])
            yield broken if trouble else Check(part.name, "ok", found[part.name])


def limits(address: str) -> Check:
    """Whether Redis counts for all processes; while it is away each counts for itself."""
    name = "limits"
    try:
        from orchestrator.streams.redis.connection import RedisConnection
    except ModuleNotFoundError as error:
        return Check(name, "broken", f"{error.msg}.")
    redis = RedisConnection(address)
    try:
        asyncio.run(_answer(redis))
    except OrchestratorError as error:
        detail = f"{error.message} Until it answers, each process counts for itself."
        return Check(name, "warning", detail, MENDS["streams"])
    return Check(name, "ok", f"{redis.place} counts for all processes")


async def _answer(redis: RedisConnection) -> None:
    try:
        await redis.about()
    finally:
        await redis.close()


async def _trouble(part: Part) -> str:
    """Why the part cannot be reached; empty if it can."""
    if part.reach is None:
        return ""
    # To open the engine would set the namespace up; the streams alone have connections to close.
    async with part.open() if part.name == "streams" else nullcontext():
        try:
            await part.reach()
        except OrchestratorError as error:
            return error.message
    return ""

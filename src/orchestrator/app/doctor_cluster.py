"""What the doctor finds of the parts that processes share: the Temporal cluster and Redis."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

from orchestrator.app import backends
from orchestrator.app.sharing import check_shared
from orchestrator.core.errors import OrchestratorError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.core.settings import Settings
    from orchestrator.web.parts import Part

# By part: where it is set, for whoever has to mend it.
MENDS = {
    "engine": "Start the Temporal server, or correct temporal.host_port and temporal.namespace.",
    "streams": "Start Redis, or correct redis.addr or redis.url.",
}


def reached(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Of each part its name, what is wrong with it or nothing, and what would mend it."""
    try:
        if not settings.temporal.workers:
            check_shared(settings, "A service without workers")
        chosen = backends.temporal(settings, lambda _: None, works=False)
    except SettingsError as error:
        yield "engine", error.message, "Correct the settings, or set engine to embedded."
        return
    for part in chosen.parts:
        if part.name in MENDS and part.reach is not None:
            yield part.name, asyncio.run(_trouble(part)), MENDS[part.name]


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

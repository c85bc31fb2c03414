"""A service made of the project's own parts, with one room: runs that publish an event each second.

Each run waits for the signal to begin, then publishes at moments that are fixed beforehand. An event carries
the moment at which it was due, so a service that falls behind cannot make its delays look shorter.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, status
from pydantic import BaseModel

from orchestrator import Context, EmbeddedEngine, workflow
from orchestrator.app.server import Server, run
from orchestrator.core.settings import load_settings
from orchestrator.core.telemetry import configure_logging
from orchestrator.durable.runs import EventType
from orchestrator.web.application import House, create_app
from orchestrator.web.feature import Feature
from orchestrator.web.parts import Part
from orchestrator.web.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

EVERY_S = 1.0


class Schedule(BaseModel):
    """When a run publishes."""

    first_at: float
    """Of the first event, in seconds since 1970."""
    events: int


@workflow
async def tick(ctx: Context) -> int:
    """Wait for a schedule, then publish one event a second; returns how many."""
    schedule = await ctx.receive("begin", Schedule)
    for number in range(schedule.events):
        due = schedule.first_at + number * EVERY_S
        await ctx.sleep(max(0.0, due - ctx.now().timestamp()))
        ctx.publish("tick", due)
    return schedule.events


class Ticking:
    """The room: its runs, the route that watches one, and the route that lets all begin."""

    def __init__(self, data_dir: Path, runs: int) -> None:
        self._runs = runs
        self._engine = EmbeddedEngine(data_dir / "journal.db", workflows=[tick], steps=[])

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The engine, with every run started and waiting."""
        async with self._engine:
            for number in range(self._runs):
                await self._engine.start(tick, id=f"run-{number}")
            yield

    async def watch(self, request: Request, number: int) -> EventStream:
        """Follow one run."""
        return EventStream(request, self._ticks(f"run-{number}"))

    async def _ticks(self, run_id: str) -> AsyncGenerator[tuple[str, str]]:
        run = await self._engine.get(run_id)
        async for event in run.events():
            if event.type is EventType.PUBLISHED:
                yield str(event.offset), json.dumps({"due": event.data})

    async def begin(self, schedule: Schedule) -> None:
        """Let every run begin, the first of them at the schedule's moment, the last one a second later."""
        for number in range(self._runs):
            first_at = schedule.first_at + EVERY_S * number / self._runs
            run = await self._engine.get(f"run-{number}")
            await run.signal("begin", schedule.model_copy(update={"first_at": first_at}))

    def feature(self) -> Feature:
        """What the room brings."""
        router = APIRouter()
        router.add_api_route("/ticks/{number}", self.watch, methods=["GET"], response_model=None)
        router.add_api_route("/begin", self.begin, methods=["POST"], status_code=status.HTTP_204_NO_CONTENT)
        return Feature("ticking", router)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    arguments = parser.parse_args()
    room = Ticking(arguments.data_dir, arguments.runs)
    settings = load_settings(overrides={"server.port": arguments.port})
    configure_logging(settings.telemetry)
    app = create_app(House(settings), [room.feature()], parts=[Part("ticking", room.opened)])
    sys.exit(run(Server(app, settings.server).serve()))


if __name__ == "__main__":
    main()

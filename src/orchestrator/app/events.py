"""What happens to people's things, told to their clients: one follower of the stream per service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from orchestrator.web.events import Feed
from orchestrator.web.events.retention import Retention
from orchestrator.web.events.routes import events_router
from orchestrator.web.feature import Feature
from orchestrator.web.realtime.routes import realtime_router

if TYPE_CHECKING:
    from orchestrator.web.feature import Resources


def build(resources: Resources) -> Feature:
    """The routes by which clients listen."""
    feed = Feed(resources.streams)
    retention = Retention(resources.streams, resources.clock)
    router = APIRouter()
    router.include_router(events_router(feed, resources.clock))
    router.include_router(realtime_router(feed, resources.clock, resources.database, resources.outbox))
    return Feature(name="events", router=router, background=(feed.follow, retention.keep_always))

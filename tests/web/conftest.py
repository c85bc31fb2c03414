"""The sample room behind the whole web kit, in process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator.core.settings import ServerSettings, Settings
from orchestrator.web.application import House, create_app
from support.sample_room import SampleRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI


@pytest.fixture
def room() -> SampleRoom:
    """A fresh sample room."""
    return SampleRoom()


@pytest.fixture
def server_settings() -> ServerSettings:
    """Small limits, so that tests reach them quickly."""
    return ServerSettings(port=0, metrics_port=0, max_body_bytes=1_000, shutdown_timeout_s=5)


@pytest.fixture
def app(room: SampleRoom, server_settings: ServerSettings) -> FastAPI:
    """The application of the sample room."""
    return create_app(House(Settings(server=server_settings)), [room.feature])


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Calls the application in process, as a local program would."""
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
        yield client

"""The API's description is true: schemathesis attacks every described route of a running service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.app.server import Server
from orchestrator.core.settings import ServerSettings, Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.openapi import METHODS
from support.attack import attack
from support.sample_room import SampleRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The sample room, served."""
    server_settings = ServerSettings(port=0, enable_metrics=False)
    app = create_app(House(Settings(server=server_settings)), [SampleRoom().feature])
    async with Server(app, server_settings, handle_signals=False).running() as url:
        yield url


@pytest.fixture
async def description(url: str) -> dict[str, Any]:
    """Its OpenAPI document."""
    async with httpx2.AsyncClient() as client:
        document: dict[str, Any] = (await client.get(f"{url}/openapi.json")).json()
        return document


async def test_every_route_keeps_its_description(url: str, tmp_path: Path) -> None:
    """Whatever is sent, status, headers, media type and body are among those described."""
    report = await asyncio.to_thread(attack, url, tmp_path, max_examples=10)

    assert "5 selected / 5 total" in report


async def test_every_route_explains_itself(description: dict[str, Any]) -> None:
    """Each operation has a summary, each answer a description, and errors are problem documents."""
    for path, operations in description["paths"].items():
        for method in METHODS & operations.keys():
            operation = operations[method]
            assert operation["summary"], (method, path)
            assert {"403", "421", "500", "504"} <= operation["responses"].keys()
            for status, answer in operation["responses"].items():
                assert answer["description"], (method, path, status)
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


async def test_the_description_has_no_answer_that_is_never_given(description: dict[str, Any]) -> None:
    """FastAPI's own 422 and its shapes are gone: a wrong request is 400 here."""
    assert "422" not in description["paths"]["/things"]["post"]["responses"]
    assert "400" in description["paths"]["/things"]["post"]["responses"]
    assert "HTTPValidationError" not in description["components"]["schemas"]
    assert "Problem" in description["components"]["schemas"]


async def test_a_key_is_described_only_where_it_means_something(description: dict[str, Any]) -> None:
    """An application without tables keeps no answers."""
    assert list(description["components"]["parameters"]) == ["X-User-ID"]
    assert "parameters" not in description["paths"]["/things"]["post"]

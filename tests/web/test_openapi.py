"""The API's description is true: schemathesis attacks every described route of a running service."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from support.sample_room import SampleRoom

from orchestrator.app.server import Server
from orchestrator.core.settings import ServerSettings, Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.openapi import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from fastapi import FastAPI


@contextmanager
def served(app: FastAPI, server_settings: ServerSettings) -> Iterator[str]:
    """The application on an event loop of its own, since schemathesis calls it from this thread; gives the URL."""
    server = Server(app, server_settings, handle_signals=False)
    ready, loop = threading.Event(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def serve() -> int:
        listening = asyncio.create_task(server.listening())
        listening.add_done_callback(lambda _: ready.set())
        return await server.serve()

    serving: Future[int] = asyncio.run_coroutine_threadsafe(serve(), loop)
    serving.add_done_callback(lambda _: ready.set())
    ready.wait()
    try:
        yield server.url
    finally:
        loop.call_soon_threadsafe(server.stop)
        serving.result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def api() -> Iterator[tuple[str, dict[str, Any]]]:
    """The URL of a running service and its description."""
    server_settings = ServerSettings(port=0, enable_metrics=False)
    app = create_app(House(Settings(server=server_settings)), [SampleRoom().feature])
    with served(app, server_settings) as url:
        yield url, httpx2.get(f"{url}/openapi.json").json()


@pytest.fixture(scope="module")
def api_schema(api: tuple[str, dict[str, Any]]) -> schemathesis.BaseSchema:
    """The description, as schemathesis reads it."""
    return schemathesis.openapi.from_dict(api[1])


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_route_keeps_its_description(case: schemathesis.Case, api: tuple[str, dict[str, Any]]) -> None:
    """Whatever is sent, status, headers, media type and body are among those described."""
    case.call_and_validate(base_url=api[0])


def test_every_route_explains_itself(api: tuple[str, dict[str, Any]]) -> None:
    """Each operation has a summary, each answer a description, and errors are problem documents."""
    for path, operations in api[1]["paths"].items():
        for method in METHODS & operations.keys():
            operation = operations[method]
            assert operation["summary"], (method, path)
            assert {"403", "421", "500", "504"} <= operation["responses"].keys()
            for status, answer in operation["responses"].items():
                assert answer["description"], (method, path, status)
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)


def test_the_description_has_no_answer_that_is_never_given(api: tuple[str, dict[str, Any]]) -> None:
    """FastAPI's own 422 and its shapes are gone: a wrong request is 400 here."""
    assert "422" not in api[1]["paths"]["/things"]["post"]["responses"]
    assert {"400", "413", "415"} <= api[1]["paths"]["/things"]["post"]["responses"].keys()
    assert "HTTPValidationError" not in api[1]["components"]["schemas"]
    assert "Problem" in api[1]["components"]["schemas"]

"""``/health`` and ``/ready``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx2

from orchestrator.core.settings import Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.feature import Component, Feature
from orchestrator.web.parts import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from fastapi import FastAPI

    from orchestrator.core.clock import Wake
    from orchestrator.web.feature import Probe
    from support.sample_room import SampleRoom


class StoppedClock:
    """It is always the moment of document 001's example."""

    def time(self) -> float:
        """Seconds since 1970."""
        return 1_697_327_915.0

    def call_at(self, when: float, callback: Callable[[], None], *, background: bool = False) -> Wake:
        """Nothing ever comes due."""
        raise NotImplementedError


async def well() -> Component:
    """A part without complaints."""
    return Component("healthy")


async def limping() -> Component:
    """A part that still serves."""
    return Component("degraded", "disk is 95 % full")


async def broken() -> Component:
    """A part whose check itself fails."""
    raise OSError("/secret/path")


async def silent() -> Component:
    """A part that does not answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def ask(app: FastAPI, path: str) -> httpx2.Response:
    """One request, in process."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        return await client.get(path)


def app_with(room: SampleRoom, **probes: Probe) -> FastAPI:
    """The sample room with these components."""
    parts = [Part(name, health=probe) for name, probe in probes.items()]
    return create_app(House(Settings(), clock=StoppedClock()), [room.feature], parts=parts)


async def test_health_has_the_documents_shape(room: SampleRoom) -> None:
    """Status, timestamp and running sessions as in document 001, and the components beside them."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app_with(room, engine=well)), base_url="http://localhost"
    ) as client:
        await client.post("/things", json={"name": "a"})
        answer = await client.get("/health")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "timestamp": "2023-10-14T23:58:35Z",
        "sessions": 1,
        "components": {
            "engine": {"status": "healthy", "detail": None},
            "background": {"status": "healthy", "detail": None},
        },
    }


async def test_the_worst_component_gives_the_status_and_health_stays_200(room: SampleRoom) -> None:
    """A process that answers is alive, whatever its parts say; no internals are told."""
    degraded = await ask(app_with(room, engine=well, disk=limping), "/health")
    unhealthy = await ask(app_with(room, tables=broken, disk=limping), "/health")

    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert degraded.json()["components"]["disk"]["detail"] == "disk is 95 % full"
    assert (unhealthy.status_code, unhealthy.json()["status"]) == (200, "unhealthy")
    assert "secret" not in unhealthy.text


async def test_ready_says_what_is_missing(room: SampleRoom) -> None:
    """Degraded parts still serve; unhealthy ones do not."""
    ready = await ask(app_with(room, disk=limping), "/ready")
    missing = await ask(app_with(room, disk=limping, tables=broken), "/ready")

    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert (missing.status_code, missing.json()["code"]) == (503, "not_ready")
    assert "tables" in missing.json()["detail"]
    assert "disk" not in missing.json()["detail"]


async def test_a_component_that_does_not_answer_is_unhealthy(
    room: SampleRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hanging part does not hang the check."""
    monkeypatch.setattr("orchestrator.web.health.PROBE_TIMEOUT_S", 0.01)

    assert (await ask(app_with(room, tables=silent), "/ready")).status_code == 503


async def test_a_closing_service_is_not_ready(app: FastAPI) -> None:
    """Whoever sends requests here should stop doing so."""
    app.state.closing.begin()

    answer = await ask(app, "/ready")

    assert answer.status_code == 503
    assert "shutting down" in answer.json()["detail"]


async def test_rooms_start_work_and_stop_in_order(room: SampleRoom) -> None:
    """Start hooks run before background work begins; all of it ends before the engine closes."""
    told: list[str] = []
    at_work = asyncio.Event()

    async def sweep() -> None:
        told.append("swept")

    async def consume() -> None:
        told.append("consuming")
        at_work.set()
        try:
            await asyncio.Event().wait()
        finally:
            told.append("stopped")

    feature = Feature("consumer", room.feature.router, on_start=(sweep,), background=(consume,))
    app = create_app(House(Settings()), [feature])
    async with app.router.lifespan_context(app):
        await at_work.wait()

    assert told == ["swept", "consuming", "stopped"]


async def test_background_work_that_fails_shows(room: SampleRoom) -> None:
    """A consumer that died silently would look healthy for ever."""
    failing = asyncio.Event()

    async def consume() -> None:
        asyncio.get_running_loop().call_soon(failing.set)
        raise RuntimeError("stream gone")

    feature = Feature("consumer", room.feature.router, background=(consume,))
    app = create_app(House(Settings()), [feature])
    async with app.router.lifespan_context(app):
        await failing.wait()
        answer = await ask(app, "/ready")

    assert answer.status_code == 503
    assert "consumer" in answer.json()["detail"]

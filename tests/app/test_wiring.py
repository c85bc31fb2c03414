"""The wiring: what is opened for which settings, and what is left alone."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator.app.data_dir import JOURNAL_FILE, TABLES_FILE, serving
from orchestrator.app.wiring import built
from orchestrator.core.errors import SettingsError
from orchestrator.core.settings import load_settings
from orchestrator.durable.errors import EngineStoppedError

if TYPE_CHECKING:
    from pathlib import Path


async def test_the_service_is_open_inside_its_lifespan_alone(tmp_path: Path) -> None:
    """Files appear when the application starts; at its end the engine is closed and the directory free."""
    with built(load_settings(None, {"data_dir": tmp_path})) as service:
        assert not (tmp_path / JOURNAL_FILE).exists()
        async with service.app.router.lifespan_context(service.app):
            assert await service.engine.list() == []
            assert (tmp_path / TABLES_FILE).exists()
        with pytest.raises(EngineStoppedError):
            await service.engine.list()
    assert serving(tmp_path) is None


def test_an_engine_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Asking for Temporal gives a sentence, and touches nothing."""
    settings = load_settings(None, {"data_dir": tmp_path / "data", "engine": "temporal"})
    with pytest.raises(SettingsError, match="Set it to 'embedded'"), built(settings):
        pass
    assert not (tmp_path / "data").exists()


def test_without_a_model_its_library_is_not_loaded() -> None:
    """The offline service starts without what it never uses."""
    program = (
        "import sys, orchestrator.app.wiring, orchestrator.features.lessons.service; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"openai", "temporalio"} & set(loaded.stdout.split()) == set()


async def test_runs_are_counted_when_they_end(tmp_path: Path) -> None:
    """The metrics of document 004 tell how many runs ended how, how long they took, and how many have not."""
    with built(load_settings(None, {"data_dir": tmp_path})) as service:
        app = service.app
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1"
            ) as client,
        ):
            made = (await client.post("/api/sessions", json={"topic": "tides"})).json()
            await client.post(f"/api/sessions/{made['id']}/run")
            metrics = service.metrics.registry
    ended = {"workflow": "lesson", "status": "completed"}
    assert metrics.get_sample_value("orchestrator_workflows_total", ended) == 1
    assert metrics.get_sample_value("orchestrator_workflows_duration_seconds_count", {"workflow": "lesson"})
    assert metrics.get_sample_value("orchestrator_workflows_active") == 0

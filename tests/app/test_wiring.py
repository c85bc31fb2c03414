"""The wiring: what is opened for which settings, and what is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator.app.data_dir import (
    BLOBS_DIRECTORY,
    JOURNAL_FILE,
    LOCK_FILE,
    SERVICE_FILE,
    TABLES_FILE,
    serving,
)
from orchestrator.app.wiring import built, worker
from orchestrator.core.errors import SettingsError
from orchestrator.core.settings import load_settings
from orchestrator.durable.embedded import EmbeddedEngine
from orchestrator.durable.errors import EngineStoppedError
from orchestrator.journal.blobs import BlobStore

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


async def test_only_this_user_may_read_what_is_kept(tmp_path: Path) -> None:
    """Also in a directory that was there before and is open to all, under a umask that forbids nothing."""
    data_dir = tmp_path / "wide"
    data_dir.mkdir()
    data_dir.chmod(0o755)
    before = os.umask(0)
    try:
        with built(load_settings(None, {"data_dir": data_dir})) as service:
            service.claim.announce("http://127.0.0.1:4711")
            async with service.app.router.lifespan_context(service.app):
                await BlobStore(data_dir / BLOBS_DIRECTORY).put("folder/picture.jpg", b"light")
                files = [path for path in data_dir.rglob("*") if path.is_file()]
                modes = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in files}
    finally:
        os.umask(before)
    assert {JOURNAL_FILE, f"{JOURNAL_FILE}-wal", TABLES_FILE, f"{TABLES_FILE}-wal"} <= modes.keys()
    assert {SERVICE_FILE, LOCK_FILE, "picture.jpg"} <= modes.keys()
    assert set(modes.values()) == {"600"}, modes


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("temporal", r"Set redis\.addr \(ORCHESTRATOR_REDIS_ADDR\).*database\.url.*payloads\.store_dir"),
        ("embedded", "Set engine to temporal, or leave temporal.workers out"),
    ],
)
def test_a_service_without_workers_is_told_what_it_needs(engine: str, said: str, tmp_path: Path) -> None:
    """One sentence names every setting that is missing; nothing is touched."""
    chosen = {"data_dir": tmp_path / "data", "engine": engine, "temporal.workers": False}
    with pytest.raises(SettingsError, match=said), built(load_settings(None, chosen)):
        pass
    assert not (tmp_path / "data").exists()


def test_a_worker_is_told_what_it_needs(tmp_path: Path) -> None:
    """Files of its own are no use to a worker, since the service would not see them."""
    shared = {"redis.addr": "localhost:6379", "payloads.store_dir": tmp_path}
    with pytest.raises(
        SettingsError, match=r"A worker shares.*Set database\.url.*serve --engine temporal"
    ) as told:
        worker(load_settings(None, {"engine": "temporal", **shared}))
    assert "redis.addr" not in told.value.message


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


async def test_a_full_disk_is_told_before_the_next_request_fails(tmp_path: Path) -> None:
    """While nothing can be written the engine is unhealthy with the reason, and the service is not ready."""
    with built(load_settings(None, {"data_dir": tmp_path})) as service:
        app = service.app
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1"
            ) as client,
        ):
            assert (await client.get("/ready")).status_code == 200
            assert isinstance(service.engine, EmbeddedEngine)
            service.engine._open.journal._writer.full = "the disk is full"
            engine = (await client.get("/health")).json()["components"]["engine"]
            ready = await client.get("/ready")
            service.engine._open.journal._writer.full = ""
    assert engine == {"status": "unhealthy", "detail": "the disk is full"}
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert "the disk is full" in ready.json()["detail"]

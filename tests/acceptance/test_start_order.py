"""Processes and what they stand on, started and stopped in any order."""

from __future__ import annotations

import signal
import time
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import requests

from support.redis_server import RedisServer
from support.services import LOOPBACK, ServiceProcess, WorkerProcess, free_port, own_temporal_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.postgres_server import Databases
    from support.services import TemporalServer

pytestmark = [pytest.mark.acceptance, pytest.mark.temporal]

PATIENCE_S = LIMIT_S = 60.0


def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process brings about."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def told_missing(process: ServiceProcess) -> str:
    """What /ready says is missing; empty once it is ready, "nobody" while the process does not listen."""
    try:
        answer = requests.get(f"{process.base_url}/ready", timeout=LIMIT_S)
    except requests.ConnectionError:
        return "nobody"
    return "" if answer.ok else str(answer.json()["detail"])


def test_a_service_waits_for_its_cluster_and_says_so(tmp_path: Path) -> None:
    """It listens at once, answers 503 with the address that is missing, and is ready when the cluster is."""
    port = free_port()
    settings = {
        "ORCHESTRATOR_ENGINE": "temporal",
        "ORCHESTRATOR_TEMPORAL_HOST_PORT": f"{LOOPBACK}:{port}",
    }
    service = ServiceProcess(tmp_path, settings)
    with ExitStack() as running:
        service.launch()
        running.callback(service.kill)
        until(lambda: f"engine (no Temporal server answers at {LOOPBACK}:{port}" in told_missing(service))
        refused = requests.post(f"{service.base_url}/api/sessions", json={"topic": "Tides"}, timeout=LIMIT_S)
        health = requests.get(f"{service.base_url}/health", timeout=LIMIT_S)
        running.enter_context(own_temporal_server(tmp_path, port=port))
        until(lambda: told_missing(service) == "")
        made = requests.post(f"{service.base_url}/api/sessions", json={"topic": "Tides"}, timeout=LIMIT_S)
        assert service.terminate() == 0
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert health.json()["components"]["engine"]["status"] == "unhealthy"
    assert made.status_code == 201
    assert service.log.count("waiting for parts of the service") <= 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_whoever_waits_can_be_stopped(number: signal.Signals, tmp_path: Path) -> None:
    """A signal ends the wait, not the next try."""
    settings = {
        "ORCHESTRATOR_ENGINE": "temporal",
        "ORCHESTRATOR_TEMPORAL_HOST_PORT": f"{LOOPBACK}:{free_port()}",
    }
    service = ServiceProcess(tmp_path, settings)
    service.launch()
    until(lambda: "engine" in told_missing(service))
    assert service.stop(number) == 0


def has_rooms(process: ServiceProcess) -> bool:
    """Whether it serves lessons."""
    return requests.get(f"{process.base_url}/api/sessions", timeout=LIMIT_S).status_code != 404


@pytest.mark.postgres
async def test_a_worker_names_all_that_it_waits_for(
    temporal_server: TemporalServer, postgres: Databases, tmp_path: Path
) -> None:
    """Redis and the database that come later; its lost Redis is told, and found again."""
    redis = RedisServer(tmp_path)
    async with postgres.fresh() as name:
        url = postgres.url(name)
        worker = WorkerProcess(
            tmp_path,
            {
                "ORCHESTRATOR_TEMPORAL_HOST_PORT": temporal_server.address,
                "ORCHESTRATOR_TEMPORAL_TASK_QUEUE": f"worker-{uuid.uuid4()}",
                "ORCHESTRATOR_DATABASE_URL": url,
                "ORCHESTRATOR_REDIS_URL": redis.url,
                "ORCHESTRATOR_PAYLOADS_STORE_DIR": str(tmp_path / "shared"),
            },
        )
        with ExitStack() as running:
            running.callback(redis.kill)
            running.callback(worker.kill)
            worker.launch()
            until(lambda: "streams (" in told_missing(worker))
            redis.start()
            until(lambda: told_missing(worker) == "")
            redis.stop()
            until(lambda: "streams (" in told_missing(worker))
            redis.start()
            until(lambda: told_missing(worker) == "")
            assert not has_rooms(worker)
            assert worker.terminate() == 0

"""The topology of a deployment, as plain processes of this machine: APIs, workers, and what they share."""

from __future__ import annotations

import json
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from support.redis_server import DURABLE, RedisServer
from support.services import (
    LOOPBACK,
    ServiceProcess,
    WorkerProcess,
    free_port,
    own_temporal_server,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from support.postgres_server import Databases

pytestmark = [pytest.mark.acceptance, pytest.mark.temporal, pytest.mark.postgres]

LIMIT_S = 90.0
LESSONS = 3
MATERIAL = "# Tides\n\nThe moon pulls the water. A spring tide is a tide with a large range."

Told = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Town:
    """All processes of one deployment."""

    services: list[ServiceProcess]
    workers: list[WorkerProcess]


@contextmanager
def town(folder: Path, database_url: str) -> Generator[Town]:
    """Two APIs, two workers, Redis and Temporal, started in an order that chance chooses; ready inside."""
    redis_folder, temporal_folder = folder / "redis", folder / "temporal"
    for each in (redis_folder, temporal_folder):
        each.mkdir()
    redis, port = RedisServer(redis_folder, DURABLE), free_port()
    settings = {
        "ORCHESTRATOR_ENGINE": "temporal",
        "ORCHESTRATOR_TEMPORAL_HOST_PORT": f"{LOOPBACK}:{port}",
        "ORCHESTRATOR_TEMPORAL_TASK_QUEUE": f"town-{uuid.uuid4()}",
        "ORCHESTRATOR_TEMPORAL_WORKERS": "false",
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_REDIS_URL": redis.url,
        "ORCHESTRATOR_PAYLOADS_STORE_DIR": str(folder / "shared"),
    }
    homes = [folder / name for name in ("api-1", "api-2", "worker-1", "worker-2")]
    for home in homes:
        home.mkdir()
    services = [ServiceProcess(home, settings) for home in homes[:2]]
    workers = [WorkerProcess(home, settings) for home in homes[2:]]
    with ExitStack() as running:
        running.callback(redis.kill)
        for process in (*services, *workers):
            running.callback(process.kill)

        def start_temporal() -> None:
            running.enter_context(own_temporal_server(temporal_folder, port))

        starts = [process.launch for process in (*services, *workers)]
        starts += [redis.start, start_temporal]
        random.shuffle(starts)
        for start in starts:
            start()
        for process in (*services, *workers):
            process.wait_until_ready(LIMIT_S)
        yield Town(services, workers)


def created(service: ServiceProcess) -> str:
    """A new session's id."""
    body = {"topic": "Tides", "metadata": {"materials": [{"text": MATERIAL}]}}
    answer = requests.post(f"{service.base_url}/api/sessions", json=body, timeout=LIMIT_S)
    return str(answer.json()["id"])


def watched(service: ServiceProcess, session_id: str, after: str = "") -> list[Told]:
    """Ids and events that a watcher at this API gets until the end."""
    url = f"{service.base_url}/api/sessions/{session_id}/run"
    headers = {"Last-Event-ID": after} if after else {}
    told, event_id = [], ""
    with requests.get(url, headers=headers, stream=True, timeout=LIMIT_S) as stream:
        stream.raise_for_status()
        for line in stream.iter_lines():
            if line.startswith(b"id: "):
                event_id = line.removeprefix(b"id: ").decode()
            elif line.startswith(b"data: "):
                told.append((event_id, json.loads(line.removeprefix(b"data: "))))
    return told


def story(told: list[Told]) -> list[Told]:
    """What was told, but for the greeting of each connection."""
    return [each for each in told if each[1]["type"] != "connected"]


async def test_lessons_run_in_a_town_of_processes(tmp_path: Path, postgres: Databases) -> None:
    """Every API shows every lesson the same, with the words as workers wrote them, whoever asked for it."""
    async with postgres.fresh() as name:
        _live(tmp_path, postgres.url(name))


def _live(folder: Path, database_url: str) -> None:
    with town(folder, database_url) as here, ThreadPoolExecutor() as crowd:
        first, second = here.services
        sessions = [created(first) for _ in range(LESSONS)]
        views = [[crowd.submit(watched, api, session_id) for api in here.services] for session_id in sessions]
        for session_id, (at_first, at_second) in zip(sessions, views, strict=True):
            told = story(at_first.result())
            assert told == story(at_second.result())
            assert told[-1][1]["type"] == "final"
            kinds = [event["type"] for _, event in told]
            assert kinds.count("step-start") == kinds.count("step-complete") == 5
            assert kinds.count("step-delta") > 5
            ids = [event_id for event_id, _ in told]
            assert len(set(ids)) == len(ids)
            for place in (0, len(told) // 2, len(told) - 2):
                assert story(watched(second, session_id, ids[place])) == told[place + 1 :]
            _is_kept_alike(here, session_id, told[-1][1]["data"]["result"])
        _is_deleted_everywhere(here, sessions[0])
        for process in (*here.services, *here.workers):
            assert process.terminate() == 0


def _is_kept_alike(here: Town, session_id: str, told: dict[str, Any]) -> None:
    for api in here.services:
        session = f"{api.base_url}/api/sessions/{session_id}"
        result = requests.get(f"{session}/result", timeout=LIMIT_S).json()
        assert result == told
        for picture in result["images"]:
            drawn = requests.get(f"{session}/images/{picture}.jpg", timeout=LIMIT_S)
            assert (drawn.status_code, drawn.headers["Content-Type"]) == (200, "image/jpeg")
        assert requests.get(session, timeout=LIMIT_S).json()["status"] == "completed"


def _is_deleted_everywhere(here: Town, session_id: str) -> None:
    first, second = (f"{api.base_url}/api/sessions/{session_id}" for api in here.services)
    assert requests.delete(second, timeout=LIMIT_S).status_code == 204
    assert requests.get(first, timeout=LIMIT_S).status_code == 404

"""Days on a cluster: a worker that answers nobody does the work of an API that does none itself."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
import requests

from support.days_room import INTENT
from support.redis_server import own_redis_server
from support.services import ServiceProcess, WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres_server import Databases
    from support.services import TemporalServer

pytestmark = [pytest.mark.acceptance, pytest.mark.temporal, pytest.mark.postgres, pytest.mark.redis]

ADA = {"X-User-ID": "ada"}
LIMIT_S = 60


async def test_a_worker_plans_the_days(
    tmp_path: Path, temporal_server: TemporalServer, postgres: Databases
) -> None:
    """Signals, plan and session come of it, and the next run finds them."""
    for name in ("redis", "api", "worker"):
        (tmp_path / name).mkdir()
    async with postgres.fresh() as database:
        with own_redis_server(tmp_path / "redis") as redis:
            settings = {
                "ORCHESTRATOR_ENGINE": "temporal",
                "ORCHESTRATOR_TEMPORAL_HOST_PORT": temporal_server.address,
                "ORCHESTRATOR_TEMPORAL_TASK_QUEUE": f"days-{uuid.uuid4()}",
                "ORCHESTRATOR_TEMPORAL_WORKERS": "false",
                "ORCHESTRATOR_DATABASE_URL": postgres.url(database),
                "ORCHESTRATOR_REDIS_URL": redis.url,
                "ORCHESTRATOR_PAYLOADS_STORE_DIR": str(tmp_path / "store"),
                "ORCHESTRATOR_DAYS_DEADLINE_S": "60",  # on a machine that does much else
            }
            with (
                ServiceProcess(tmp_path / "api", settings) as api,
                WorkerProcess(tmp_path / "worker", settings),
            ):
                functions = f"{api.base_url}/functions/v1/orchestrator"

                def called(function: str, **body: object) -> dict[str, object]:
                    answer = requests.post(f"{functions}/{function}", headers=ADA, json=body, timeout=LIMIT_S)
                    assert answer.status_code == 200, answer.text
                    found: dict[str, object] = answer.json()
                    return found

                called("intent.sync", **INTENT)
                planned = called("day.run", week=1, day=2)
                again = called("day.run", week=1, day=2)
    assert (planned["degraded_mode"], planned["cache_misses"]) == (False, 4)
    assert again == planned | {"cache_hits": 4, "cache_misses": 0}

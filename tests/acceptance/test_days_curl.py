"""The flow that document 000 shows, word for word, against the service as a process in dev mode."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.services import ServiceProcess

pytestmark = pytest.mark.acceptance

CLIENTS = Path(__file__).parents[1] / "clients"
LIMIT_S = 60
# The document's own text follows; all that differs is where the project is.
PRELUDE = """
set -euo pipefail
curl() {{ {curl} "${{@/https:\\/\\/your-project.supabase.co/$BASE_URL}}"; }}
jq() {{ {jq} "$@"; }}
"""
OURS = {name: f"{sys.executable} {CLIENTS / 'curl_and_jq.py'} {name}" for name in ("curl", "jq")}
INSTALLED = {name: f"command {name}" for name in ("curl", "jq")}
ARE_INSTALLED = all(shutil.which(name) for name in INSTALLED)


@pytest.mark.parametrize("programs", [OURS, *([INSTALLED] if ARE_INSTALLED else [])])
def test_the_documents_flow(tmp_path: Path, programs: dict[str, str]) -> None:
    """Intent, plan, completion, status: with a Bearer that means nothing, as in the document."""
    script = PRELUDE.format(**programs) + (CLIENTS / "document_000.sh").read_text()
    with ServiceProcess(tmp_path, {"ORCHESTRATOR_TELEMETRY_LOG_FORMAT": "json"}) as service:
        done = subprocess.run(
            ["bash", "-c", script],
            env=os.environ | {"BASE_URL": service.base_url},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        log = service.log
    assert done.returncode == 0, done.stderr
    completed, status = _answers(done.stdout)
    assert completed["ok"] is True
    assert completed["next_day_hint"].startswith("Excellent time commitment! For day 2, ")
    assert completed["completion_summary"]["completion_time_min"] == 25
    assert status["user_id"] == "test-user"
    assert status["active_intent"]["topic"] == "Test Topic"
    assert status["latest_session"]["id"] == completed["completion_summary"]["session_id"]
    assert status["latest_session"]["completion"]["confidence"] == 8
    assert status["learning_stats"] == {
        "total_sessions": 1,
        "completed_sessions": 1,
        "total_time_min": 25,
        "average_confidence": 8.0,
        "current_streak_days": 1,
    }
    assert status["next_scheduled_run"]["day"] == 2
    _check_log(log, "test-user")


def _check_log(log: str, user: str) -> None:
    """One line for each call and no other, with all that the document shows."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    calls = [line for line in lines if line.get("event") == "function called"]
    assert [line["function"] for line in calls] == ["intent.sync", "day.run", "day.done", "status"]
    of_requests = {line["request_id"] for line in calls}
    assert [line for line in lines if line.get("request_id") in of_requests] == calls
    told = calls[1]
    assert (told["level"], told["user_id"], told["degraded_mode"]) == ("info", user, False)
    assert (told["cache_hits"], told["cache_misses"]) == (0, 4)
    assert told["execution_time_ms"] >= 0
    assert datetime.fromisoformat(told["timestamp"]).tzinfo is not None


def _answers(printed: str) -> list[dict[str, Any]]:
    """The JSON documents that were printed one after the other."""
    decoder, found, rest = json.JSONDecoder(), [], printed.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found

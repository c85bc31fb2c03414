"""The clients of document 000, unmodified, against the service as a process that knows its callers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.services import COMMANDS, ServiceProcess
from support.tokens import SECRET, claims, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "clients"
PYTHON_OF_CLIENTS = ROOT / ".venv-clients" / "bin" / "python"
LIMIT_S = 60
A_YEAR_S = 31_536_000
ANON_KEY = signed(claims(None, role="anon", exp=int(time.time()) + A_YEAR_S, iss=None))
EVENTS_OF_A_DAY = ["intent_created", "instructor_plan_created", "instructor_plan_completed"]
HINT = "Good time investment! For day 4, focus on reinforcing concepts to build confidence."


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with a Supabase project's secret and anonymous key."""
    environment = {"ORCHESTRATOR_AUTH_JWT_SECRET": SECRET, "SUPABASE_ANON_KEY": ANON_KEY}
    with ServiceProcess(tmp_path_factory.mktemp("days"), environment) as running:
        yield running


def token_of(user: str) -> str:
    """What a front end has when ``user`` has signed in."""
    return signed(claims(user, exp=int(time.time()) + LIMIT_S, iss=None))


def printed(*command: str | Path) -> dict[str, Any]:
    """The JSON that a program prints, which must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | {"NODE_NO_WARNINGS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(told: dict[str, Any], user: str) -> None:
    """What any front end gets who learns a day, whatever it is written in."""
    assert told["before"]["active_intent"] is None
    assert told["intent"]["active"] is True
    plan, status = told["plan"], told["status"]
    assert plan["plan_md"].startswith("# Daily Learning Plan")
    assert (plan["cache_hits"], plan["cache_misses"]) == (0, 4)
    assert told["done"]["next_day_hint"] == HINT
    assert (status["user_id"], status["latest_session"]["id"]) == (user, plan["session_id"])
    assert status["learning_stats"]["completed_sessions"] == 1


@pytest.mark.parametrize("package", ["supabase-js-2.47", "supabase-js"])
def test_supabase_js(service: ServiceProcess, tmp_path: Path, package: str) -> None:
    """The document's class by functions.invoke, its events by Realtime, errors as the library tells them."""
    example = re.search(r"```typescript\n(.*?)```", (CLIENTS / "document_000.md").read_text(), re.DOTALL)
    assert example is not None
    program = tmp_path / "front_end.mts"
    program.write_text(f"{example[1]}\n{(CLIENTS / 'front_end.ts').read_text()}")
    user = f"learner of {package}"
    told = printed(
        COMMANDS / "node",
        "--experimental-transform-types",
        program,
        f"{CLIENTS}/",
        package,
        service.base_url,
        ANON_KEY,
        token_of(user),
    )
    check(told, user)
    for refused, status, code in (
        ("early", 409, "NO_ACTIVE_INTENT"),
        ("unknown", 404, "SESSION_NOT_FOUND"),
        ("nobody", 401, "unauthorized"),
    ):
        error = told[refused]
        assert (error["name"], error["status"]) == ("FunctionsHttpError", status)
        assert error["body"]["code"] == code
        assert error["body"]["error"]
    assert [each["event"] for each in told["events"]] == EVENTS_OF_A_DAY
    assert {each["payload"]["user_id"] for each in told["events"]} == {user}


def test_supabase_py(service: ServiceProcess) -> None:
    """The same by its functions, with the message of an error where that library looks for it."""
    user = "learner of supabase-py"
    told = printed(PYTHON_OF_CLIENTS, CLIENTS / "front_end.py", service.base_url, ANON_KEY, token_of(user))
    check(told, user)
    assert "intent" in told["early"].lower()

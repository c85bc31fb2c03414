"""The commands that the pages on callers and days show, run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.services import COMMANDS, ServiceProcess
from support.tokens import SECRET

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
LIMIT_S = 60
JQ = "jq" if shutil.which("jq") else f"{sys.executable} {ROOT / 'tests' / 'clients' / 'curl_and_jq.py'} jq"
# What is refused stops the script.
PRELUDE = f"""
set -euo pipefail
curl() {{ command curl -sS --fail-with-body "$@"; }}
jq() {{ command {JQ} "$@"; }}
"""


def commands(page: str, beginning: str) -> str:
    """The block of commands of that page that begins so."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(beginning)]
    return str(block)


def run(service: ServiceProcess, script: str, folder: Path, **environment: str) -> str:
    """Run it beside the service; gives what was printed."""
    for address in ("http://127.0.0.1:8080", "localhost:8080"):
        script = script.replace(address, service.base_url)
    done = subprocess.run(
        ["bash", "-c", PRELUDE + script],
        cwd=folder,
        env={
            "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "ORCHESTRATOR_DATA_DIR": str(service.data_dir),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_for_dev_mode(tmp_path: Path) -> None:
    """A day from the intent to the status, and a POST under a key."""
    with ServiceProcess(tmp_path) as service:
        script = commands("days.md", "functions=") + commands("idempotency.md", "curl")
        printed = run(service, script, tmp_path)

    assert "## Today's Focus" in printed
    assert '"next_day_hint":"Good time investment!' in printed
    assert re.search(r'"current_streak_days": ?1', printed)


def test_the_commands_for_who_signs_in(tmp_path: Path) -> None:
    """Tokens, keys, webhooks and the audit trail."""
    setting = {"ORCHESTRATOR_AUTH_JWT_SECRET": SECRET}
    with ServiceProcess(tmp_path, setting) as service:
        script = [
            commands("signin.md", "curl"),
            commands("keys.md", "key="),
            "TOKEN=$(orchestrator token --user ada)\n",
            commands("events.md", "curl -X POST"),
            commands("audit.md", "orchestrator audit"),
        ]
        printed = run(service, "".join(script), tmp_path, **setting)

    assert '"user_id":"ada"' in printed
    assert '"items":[]' in printed
    assert '"secret":"whsec_' in printed
    assert "key.create" in printed

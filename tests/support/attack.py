"""Attacks a service from its own description, with all checks that schemathesis has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import requests

PHASES = "examples,coverage,fuzzing,stateful"
REQUEST_TIMEOUT_S = 10
SEED = 20_261_121  # the same attack each time, so that what it finds is found again


def attack(
    url: str, folder: Path, *, max_examples: int, user: str = "", leave_out: tuple[str, ...] = ()
) -> str:
    """Run schemathesis over the service at ``url``, working in ``folder``; gives its report.

    Args:
        url: Of a running service.
        folder: For what schemathesis keeps.
        max_examples: Per operation.
        user: Who attacks, in dev mode; nobody where it is empty.
        leave_out: Paths that cannot be attacked so, such as streams without end.

    Raises:
        AssertionError: The service does not keep its description; the message is the report.
    """
    (folder / "openapi.json").write_text(json.dumps(_without_shared_headers(url)))
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", "openapi.json", "--url", url, "--checks", "all", "--phases", PHASES, "--mode", "all"),
        *("--max-examples", str(max_examples), "--request-timeout", str(REQUEST_TIMEOUT_S), "--no-color"),
        *("--seed", str(SEED), "--generation-with-security-parameters", "false"),
        *(("--header", f"X-User-ID: {user}") if user else ()),
        *(part for path in leave_out for part in ("--exclude-path", path)),
    ]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"COLUMNS": "100"}, capture_output=True, text=True, check=False
    )
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    return report


def _without_shared_headers(url: str) -> object:
    """The service's description. Headers of many routes have their own tests, and would double the attack."""
    document = requests.get(f"{url}/openapi.json", timeout=REQUEST_TIMEOUT_S).json()
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["parameters"] = [own for own in operation.get("parameters", ()) if "$ref" not in own]
    return document

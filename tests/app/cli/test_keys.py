"""`orchestrator keys`: through the service that runs, and on its tables while none does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.root import run

if TYPE_CHECKING:
    from pathlib import Path

    from support.services import ServiceProcess


class Keys:
    """The command on one data directory."""

    def __init__(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._data_dir = str(data_dir)
        self._capsys = capsys
        self.said = ""

    def __call__(self, *arguments: str, code: ExitCode = ExitCode.OK) -> list[str]:
        """What it writes on standard output; what it says beside that is ``said``."""
        assert run(["keys", *arguments, "--data-dir", self._data_dir]) == code
        written = self._capsys.readouterr()
        self.said = " ".join(written.err.split())
        return written.out.splitlines()


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Keys:
    """Where a service would have its data."""
    return Keys(tmp_path / "data", capsys)


def test_keys_are_managed_without_a_service(keys: Keys) -> None:
    """Before the first start already; people see a table, scripts JSON."""
    assert keys("list") == []
    assert keys.said == "No API keys yet."

    (key,) = keys("create", "backup", "--user", "ada", "--scope", "lessons")
    key_id = key.split("_")[1]
    assert key_id in keys.said
    (made,) = keys("create", "ops", "--scope", "admin", "--expires-in-days", "90", "--json")
    assert json.loads(made)["created_by"] == "operator"

    assert keys("revoke", key_id) == [f"Key {key_id} (backup) is revoked."]
    listed = [json.loads(line) for line in keys("list", "--json")]
    assert [(one["name"], one["user"], one["revoked_at"] is None) for one in listed] == [
        ("ops", None, True),
        ("backup", "ada", False),
    ]
    table = keys("list")
    assert table[0].split()[:2] == ["Key", "Name"]
    assert any(row.startswith(key_id) and "revoked" in row for row in table)
    assert key not in "\n".join(table)


def test_what_makes_no_sense_is_refused(keys: Keys) -> None:
    """With a sentence and a code, and nothing is made."""
    keys("create", "backup", "--scope", "lessons", code=ExitCode.USAGE)
    assert "Name the user whom this key acts as" in keys.said
    keys("create", "", "--scope", "admin", code=ExitCode.USAGE)
    assert "NAME" in keys.said
    keys("create", "garden", "--user", "ada", "--scope", "garden", code=ExitCode.USAGE)
    assert "A key takes: " in keys.said
    keys("revoke", "0123456789ab", code=ExitCode.NOT_FOUND)
    keys("revoke", "ork_0123456789ab_secret", code=ExitCode.NOT_FOUND)
    assert "between 'ork_' and the next '_'" in keys.said
    assert keys("list") == []


@pytest.mark.acceptance
def test_keys_are_managed_through_the_service_that_runs(
    service_process: ServiceProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key works as soon as it is made, in its room as its user, and no more once it is revoked."""
    keys = Keys(service_process.data_dir, capsys)
    (key,) = keys("create", "backup", "--user", "ada", "--scope", "lessons")
    with httpx2.Client(base_url=service_process.base_url, headers={"X-API-Key": key}) as http:
        created = http.post("/api/sessions", json={"topic": "Tides"})
        runs = http.post("/api/v1/runs/none/cancel")
        days = http.get("/functions/v1/orchestrator/status")
        (wider,) = keys("create", "all", "--user", "ada", "--scope", "lessons", "--scope", "days")
        as_wider = http.get("/functions/v1/orchestrator/status", headers={"X-API-Key": wider})
        assert keys("revoke", key.split("_")[1], "--json")
        after = http.get("/api/sessions")
    own = httpx2.get(f"{service_process.base_url}/api/sessions", headers={"X-User-ID": "ada"})

    assert (created.status_code, runs.status_code, after.status_code) == (201, 403, 401)
    assert (days.status_code, as_wider.json()["user_id"]) == (403, "ada")
    assert [item["id"] for item in own.json()["items"]] == [created.json()["id"]]
    assert key not in service_process.log_file.read_text()

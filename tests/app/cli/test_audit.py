"""`orchestrator audit`: from the service that runs, and from its tables while none does."""

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


def test_the_trail_is_read_without_a_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What commands did to its tables is on record too; people see a table, scripts JSON."""
    at = ["--data-dir", str(tmp_path / "data")]
    assert run(["audit", *at]) == ExitCode.OK
    assert "Nothing of that is on record." in capsys.readouterr().err
    assert run(["keys", "create", "ops", "--scope", "admin", *at]) == ExitCode.OK
    key_id = capsys.readouterr().out.split("_")[1]

    assert run(["audit", *at]) == ExitCode.OK
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["When", "Who", "Action", "Subject", "For", "From", "Times"]
    assert row.split()[-3:] == ["operator", "key.create", key_id]
    assert (
        run(["audit", "--action", "key.", "--who", "operator", "--since", "1h", "--json", *at]) == ExitCode.OK
    )
    assert json.loads(capsys.readouterr().out)["subject"] == key_id
    assert run(["audit", "--subject", "another", *at]) == ExitCode.OK
    assert capsys.readouterr().out == ""
    assert run(["audit", "--since", "soon", *at]) == ExitCode.USAGE
    assert "'soon' is no time such as 90s" in capsys.readouterr().err


@pytest.mark.acceptance
def test_the_trail_tells_what_a_service_was_asked(
    service_process: ServiceProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Triggers, deletions, keys and refused sign-ins, with who asked; no token is in it."""
    at = ["--data-dir", str(service_process.data_dir)]
    token = json.loads((service_process.data_dir / "service.json").read_text())["token"]
    with httpx2.Client(base_url=service_process.base_url) as http:
        http.headers["X-User-ID"] = "ada"
        session = http.post("/api/sessions", json={"topic": "Tides"}).json()["id"]
        assert http.delete(f"/api/sessions/{session}").status_code == 204
        assert http.get("/api/sessions", headers={"X-API-Key": "wrong-key"}).status_code == 401
        operator = {"Authorization": f"Bearer {token}"}
        http.headers.pop("X-User-ID")
        assert http.post("/api/v1/runs/none/cancel", headers=operator).status_code == 404
        assert http.post("/api/v1/schedules/none/run-now", headers=operator).status_code == 404
        assert http.post("/api/v1/runs/none/cancel").status_code == 401

    assert run(["audit", "--json", *at]) == ExitCode.OK
    written = capsys.readouterr().out
    entries = [json.loads(line) for line in written.splitlines()]
    assert [(entry["action"], entry["who"], entry["subject"]) for entry in reversed(entries)] == [
        ("lesson.delete", "user:ada", session),
        ("sign_in.refused", "nobody", "unauthorized"),
        ("run.cancel", "operator", "none"),
        ("schedule.run-now", "operator", "none"),
    ]
    assert {entry["source"] for entry in entries} == {"127.0.0.1"}
    assert token not in written
    assert "wrong-key" not in written

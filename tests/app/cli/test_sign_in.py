"""The command line with sign-in: as the operator on its own machine, by a token elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.root import run
from orchestrator.app.data_dir import serving
from support.command import CommandLine
from support.tokens import SECRET

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.acceptance

LIMIT_S = 30.0


def topics_of(url: str, headers: dict[str, str]) -> list[str]:
    """What the caller's lessons are about."""
    answer = requests.get(f"{url}/api/sessions", headers=headers, timeout=LIMIT_S)
    return [session["topic"] for session in answer.json()["items"]]


def test_it_goes_on_as_before_here_and_signs_in_elsewhere(orchestrator: CommandLine, tmp_path: Path) -> None:
    """Lessons and runs as the operator; a second machine makes its own lesson by the token of a user."""
    orchestrator.environment["ORCHESTRATOR_AUTH_JWT_SECRET"] = SECRET
    (tmp_path / "elsewhere").mkdir()
    with orchestrator.started("serve", "--port", "0", "--json") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["address"]
        here = orchestrator("lesson", "Tides", "--json")
        assert here.returncode == ExitCode.OK, here.stderr
        session = json.loads(here.stdout.splitlines()[0])["session_id"]
        forked = orchestrator("runs", "fork", f"lesson-{session}-1", "--from-step", "5")
        assert forked.returncode == ExitCode.OK, forked.stderr

        token = orchestrator("token", "--user", "ada").stdout.strip()
        elsewhere = CommandLine(tmp_path / "elsewhere", {"ORCHESTRATOR_CLIENT_URL": url})
        refused = elsewhere("lesson", "Tides")
        assert refused.returncode == ExitCode.FAILED
        assert "ORCHESTRATOR_CLIENT_TOKEN" in refused.stderr
        elsewhere.environment["ORCHESTRATOR_CLIENT_TOKEN"] = token
        made = elsewhere("lesson", "Waves")
        assert made.returncode == ExitCode.OK, made.stderr
        assert (tmp_path / "elsewhere" / "waves" / "lesson.md").exists()
        assert not elsewhere.data_dir.exists()

        service = serving(orchestrator.data_dir)
        assert service is not None
        topics = [
            topics_of(url, {"Authorization": f"Bearer {service.token}"}),
            topics_of(url, {"Authorization": f"Bearer {token}"}),
            topics_of(url, {"Authorization": f"Bearer {service.token}", "X-User-ID": "ada"}),
        ]
    assert topics == [["Tides"], ["Waves"], ["Waves"]]


def test_an_admin_steers_a_service_elsewhere(
    orchestrator: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By `--url` and a token: runs, schedules, keys and the trail; a user's token is not enough."""
    orchestrator.environment["ORCHESTRATOR_AUTH_JWT_SECRET"] = SECRET
    monkeypatch.setenv("ORCHESTRATOR_AUTH_JWT_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)

    def token(role: str) -> str:
        run(["token", "--user", "ada", "--role", role])
        return capsys.readouterr().out.strip()

    with orchestrator.started("serve", "--port", "0", "--json", "--data-dir", "there") as process:
        assert process.stdout is not None
        at = ["--url", json.loads(process.stdout.readline())["address"], "--json"]

        def asked(*command: str) -> dict[str, Any]:
            assert run([*command, *at]) == ExitCode.OK
            return dict(json.loads(capsys.readouterr().out.splitlines()[0]))

        monkeypatch.setenv("ORCHESTRATOR_CLIENT_TOKEN", token("user"))
        assert run(["schedules", "pause", "prepare-days", *at]) == ExitCode.FAILED
        assert "for admins" in capsys.readouterr().err
        monkeypatch.setenv("ORCHESTRATOR_CLIENT_TOKEN", token("admin"))
        assert asked("schedules", "pause", "prepare-days")["status"] == "paused"
        begun = asked("schedules", "run-now", "prepare-days")["run"]
        assert asked("runs", "cancel", begun)["id"] == begun
        for verb in ("cancel", "pause", "resume", "fork"):
            assert run(["runs", verb, "none", *at]) == ExitCode.NOT_FOUND
        capsys.readouterr()
        assert asked("keys", "create", "ops", "--scope", "admin")["id"] == asked("keys", "list")["id"]
        assert asked("audit", "--action", "schedule.run-now")["who"] == "user:ada"
    assert not orchestrator.data_dir.exists()


def test_a_token_is_made_for_scripts_and_people(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard output nothing but the token; a time that is none is a usage error."""
    monkeypatch.setenv("ORCHESTRATOR_AUTH_JWT_SECRET", SECRET)
    assert run(["token", "--user", "ada", "--expires", "2d"]) == ExitCode.OK
    written = capsys.readouterr()
    assert written.out.count(".") == 2
    assert "good until" in written.err
    assert run(["token", "--role", "service", "--json"]) == ExitCode.OK
    assert set(json.loads(capsys.readouterr().out)) == {"token", "role", "user", "expires_at"}
    assert run(["token", "--user", "ada", "--expires", "soon"]) == ExitCode.USAGE
    assert "no time such as" in capsys.readouterr().err
    assert run(["token"]) == ExitCode.USAGE


def test_without_a_secret_the_refusal_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """In dev mode nobody needs a token."""
    assert run(["token", "--user", "ada"]) == ExitCode.USAGE
    assert "X-User-ID" in capsys.readouterr().err

"""The doctor: what is configured and by whom, what is wrong, and what mends it."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.data_dir import JOURNAL_FILE, TABLES_FILE, claimed
from orchestrator.app.doctor import Check, Report, examine
from orchestrator.app.doctor.configured import MASKED
from orchestrator.durable.embedded import EmbeddedEngine
from support.services import LOOPBACK, ServiceProcess, free_port
from support.tokens import SECRET, SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.command import CommandLine
    from support.postgres_server import Databases
    from support.services import TemporalServer


@pytest.fixture(autouse=True)
def _free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_SERVER_PORT", str(free_port()))
    monkeypatch.setenv("ORCHESTRATOR_SERVER_METRICS_PORT", str(free_port()))


def the(report: Report, name: str) -> Check:
    """The check of that name."""
    (found,) = [check for check in report.checks if check.name == name]
    return found


@contextmanager
def provider(status: int, body: object) -> Iterator[str]:
    """A model provider that gives this answer to every GET; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_a_fresh_machine_is_well() -> None:
    """With nothing configured and nothing there yet, nothing is wrong, and nothing was made."""
    report = examine(None, {})
    assert report.healthy
    assert {check.verdict for check in report.checks} == {"ok"}
    assert "will be made at the first start" in the(report, "data directory").detail
    assert "offline composer" in the(report, "model").detail


def test_agents_elsewhere_need_a_token_and_are_tried() -> None:
    """Without a token the service would not start; while they are away it runs, and rules plan days."""
    token = {"auth.edge_service_jwt": "a-token-that-the-agents-take-as-ours"}
    with provider(404, {}) as address:
        without = the(examine(None, {"days.edge_base_url": address}), "agents")
        there = the(examine(None, token | {"days.edge_base_url": address}), "agents")
    gone = the(examine(None, token | {"days.edge_base_url": f"http://{LOOPBACK}:{free_port()}"}), "agents")
    assert the(examine(None, {}), "agents").detail == "our own, within the service"
    assert (without.verdict, "EDGE_SERVICE_JWT" in without.detail) == ("broken", True)
    assert (there.verdict, there.detail) == ("ok", f"asked at {address}")
    assert (gone.verdict, "cannot be reached" in gone.detail) == ("warning", True)


def test_a_taken_metrics_port_is_broken_only_where_it_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service starts without metrics when the default port is taken, and refuses to on a chosen one."""
    with ExitStack() as taken:
        with suppress(OSError):  # by another program already: just what is looked at
            taken.enter_context(socket.create_server((LOOPBACK, 9090)))
        chosen = the(examine(None, {"server.metrics_port": 9090}), "metrics port")
        monkeypatch.delenv("ORCHESTRATOR_SERVER_METRICS_PORT")
        unset = the(examine(None, {}), "metrics port")

    assert (chosen.verdict, unset.verdict) == ("broken", "warning")
    assert "metrics will not be served" in unset.detail


def test_every_setting_names_who_set_it_and_keeps_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Command line, environment by variable, file by name, or default; secrets are masked."""
    config = tmp_path / "mine.yaml"
    config.write_text("telemetry:\n  log_level: debug\nserver:\n  host: localhost\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    report = examine(config, {"server.host": "127.0.0.1"})
    said = {setting.name: (setting.value, setting.source) for setting in report.settings}
    assert said["model.api_key"] == (MASKED, "environment: OPENAI_API_KEY")
    assert said["telemetry.log_level"] == ("debug", f"file: {config}")
    assert said["server.host"] == ("127.0.0.1", "command line")
    assert said["engine"] == ("embedded", "default")
    assert "sk-secret" not in repr(report)


def test_a_wrong_setting_is_the_first_thing_to_mend(tmp_path: Path) -> None:
    """With settings that nothing could start on, the doctor says so, and looks at what needs no others."""
    (tmp_path / JOURNAL_FILE).write_bytes(b"not a database at all " * 100)
    report = examine(None, {"server.port": 70_000, "data_dir": tmp_path})
    assert not report.healthy
    assert [check.name for check in report.checks] == [
        "settings",
        "data directory",
        "disk",
        "journal",
        "tables",
    ]
    assert the(report, "journal").verdict == "broken"
    assert "server.port (ORCHESTRATOR_SERVER_PORT) is 70000" in report.checks[0].detail


def test_a_taken_port_is_found() -> None:
    """The service could not listen, so it is broken, and another port mends it."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        report = examine(None, {"server.port": taken.getsockname()[1]})
    assert the(report, "port").verdict == "broken"
    assert "--port" in the(report, "port").mend


@pytest.mark.parametrize(("file", "name"), [(JOURNAL_FILE, "journal"), (TABLES_FILE, "tables")])
def test_a_damaged_file_is_found(file: str, name: str, tmp_path: Path) -> None:
    """A file that is no database is told with its path and the way out."""
    (tmp_path / file).write_bytes(b"not a database at all " * 100)
    check = the(examine(None, {"data_dir": tmp_path}), name)
    assert check.verdict == "broken"
    assert f"mv {tmp_path / file}" in check.mend


async def test_the_journal_tells_who_holds_it(tmp_path: Path) -> None:
    """While an engine has the file, its pid is named; the check disturbs nobody."""
    async with EmbeddedEngine(tmp_path / JOURNAL_FILE):
        assert "held by pid" in the(examine(None, {"data_dir": tmp_path}), "journal").detail
    assert "held by nobody; no runs yet" in the(examine(None, {"data_dir": tmp_path}), "journal").detail


def test_an_open_data_directory_is_pointed_out(tmp_path: Path) -> None:
    """Others may look into it: a warning with the command that closes it."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    check = the(examine(None, {"data_dir": folder}), "data directory")
    assert (check.verdict, check.mend) == ("warning", f"chmod 700 {folder}")


@pytest.mark.parametrize(
    ("status", "body", "verdict", "said"),
    [
        (200, {"data": [{"id": "tutor-1"}]}, "ok", "tutor-1 at"),
        (200, {"data": [{"id": "other"}]}, "warning", "it lists other"),
        (200, {"data": []}, "warning", "it lists none"),
        (401, {}, "broken", "refuses the key"),
        (404, {}, "warning", "HTTP 404"),
    ],
)
def test_the_model_is_asked_what_it_offers(status: int, body: object, verdict: str, said: str) -> None:
    """A key, an address and a model's name are checked without spending a token."""
    with provider(status, body) as address:
        report = examine(None, {"model.base_url": address, "model.name": "tutor-1", "model.api_key": "k"})
    assert the(report, "model").verdict == verdict
    assert said in the(report, "model").detail


def test_a_model_that_cannot_be_reached_is_broken() -> None:
    """Nobody listens there: lessons would fail."""
    check = the(examine(None, {"model.base_url": f"http://{LOOPBACK}:{free_port()}/v1"}), "model")
    assert check.verdict == "broken"
    assert "cannot be reached" in check.detail


@pytest.mark.parametrize(
    ("status", "body", "verdict", "said"),
    [
        (200, {"keys": [SigningKey("one").public()]}, "ok", "by tokens signed by the keys at http://"),
        (200, {"keys": []}, "broken", "shows no key for ES256 or RS256"),
        (200, [], "broken", "it is no JSON Web Key Set"),
        (404, {}, "broken", "it answers 404"),
    ],
)
def test_the_issuer_is_asked_for_its_keys(status: int, body: object, verdict: str, said: str) -> None:
    """Without them nobody could sign in."""
    with provider(status, body) as address:
        found = the(examine(None, {"auth.jwks_url": address}), "sign-in")

    assert found.verdict == verdict
    assert said in found.detail


def test_how_people_sign_in_is_told() -> None:
    """Dev mode says what other machines would need."""
    by_secret = the(examine(None, {"auth.jwt_secret": SECRET}), "sign-in")
    nobody = the(examine(None, {"auth.supabase_url": f"http://{LOOPBACK}:{free_port()}"}), "sign-in")
    dev = the(examine(None, {}), "sign-in")

    assert (by_secret.verdict, by_secret.detail) == ("ok", "by tokens signed with auth.jwt_secret")
    assert nobody.verdict == "broken"
    assert dev.detail.startswith("dev mode:")
    assert "ORCHESTRATOR_AUTH_JWT_SECRET" in dev.mend


def test_whoever_has_the_directory_but_does_not_answer_is_told(tmp_path: Path) -> None:
    """A service that starts, or hangs, is named by its pid."""
    with claimed(tmp_path):
        assert the(examine(None, {"data_dir": tmp_path}), "service").verdict == "warning"
    with claimed(tmp_path) as claim:
        claim.announce(f"http://{LOOPBACK}:{free_port()}")
        assert the(examine(None, {"data_dir": tmp_path}), "service").verdict == "broken"


@pytest.mark.acceptance
def test_a_running_service_is_found_well(service_process: ServiceProcess, orchestrator: CommandLine) -> None:
    """Beside a running service its ports are not tried; it is asked for its health instead."""
    done = orchestrator("doctor", "--json", "--data-dir", str(service_process.data_dir))
    found = json.loads(done.stdout)
    (check,) = [check for check in found["checks"] if check["name"] == "service"]
    assert (done.returncode, found["healthy"]) == (ExitCode.OK, True)
    assert check["detail"] == f"running as pid {service_process.pid} at {service_process.base_url}, healthy"


def test_people_see_what_is_broken_and_the_shell_too(orchestrator: CommandLine) -> None:
    """Exit code 1, the broken part with its mark, and the way to mend it."""
    orchestrator.data_dir.mkdir()
    (orchestrator.data_dir / JOURNAL_FILE).write_bytes(b"rubbish " * 1_000)
    done = orchestrator("doctor")
    assert done.returncode == ExitCode.FAILED
    assert "✗  journal" in done.stdout
    assert "1 broken" in done.stdout


@pytest.mark.acceptance
def test_settings_without_a_part_are_marked_and_a_misspelt_one_is_no_default(
    orchestrator: CommandLine,
) -> None:
    """What has no effect says so, and where settings cannot be read nothing is said of them."""
    orchestrator.environment["REDIS_URL"] = "redis://localhost:6379/0"  # limits are counted there
    orchestrator.environment["ORCHESTRATOR_TEMPORAL_NAMESPACE"] = "learning"
    said = orchestrator("doctor").stdout
    assert "ORCHESTRATOR_TEMPORAL_NAMESPACE (not used)" in said
    assert "REDIS_URL (not used)" not in said
    orchestrator.environment["ORCHESTRATOR_SERVER_PROT"] = "1"
    said = orchestrator("doctor").stdout
    assert "Every setting has its default" not in said
    assert "Did you mean ORCHESTRATOR_SERVER_PORT?" in said
    assert "data directory" in said


@pytest.mark.postgres
def test_postgresql_is_asked_what_it_lacks(postgres: Databases) -> None:
    """An empty database is well, and what will happen to it is told; one that cannot be entered is broken."""
    fresh = the(examine(None, {"database.url": postgres.url()}), "tables")
    refused = the(examine(None, {"database.url": postgres.url("nowhere")}), "tables")

    assert (fresh.verdict, refused.verdict) == ("ok", "broken")
    assert fresh.detail == f"postgres://{postgres.place}/postgres: it has no tables yet"
    assert "orchestrator migrate" in fresh.mend
    assert 'CREATE DATABASE "nowhere"' in refused.detail


def test_postgresql_that_is_away_is_broken(free_port: int) -> None:
    """With its address, and without its password; the setting counts as used."""
    url = f"postgres://ann:hunter2@127.0.0.1:{free_port}/name"
    report = examine(None, {"database.url": url})
    tables = the(report, "tables")
    assert tables.verdict == "broken"
    assert f"postgres://127.0.0.1:{free_port}/name cannot be reached right now" in tables.detail
    assert [setting.used for setting in report.settings if setting.name == "database.url"] == [True]
    assert "hunter2" not in repr(report)


@pytest.mark.temporal
def test_a_cluster_is_reached_or_said_to_be_away(
    temporal_server: TemporalServer, redis_url: str, tmp_path: Path
) -> None:
    """Temporal and Redis by their addresses; what separate workers lack is named by its setting."""
    there = {
        "data_dir": tmp_path,
        "engine": "temporal",
        "temporal.host_port": temporal_server.address,
        "redis.url": redis_url,
    }
    nowhere = f"{LOOPBACK}:{free_port()}"
    found = examine(None, there)
    away = examine(None, there | {"temporal.host_port": nowhere, "redis.url": f"redis://{nowhere}/0"})
    alone = examine(None, there | {"temporal.workers": False})
    at = f"temporal: {temporal_server.address}, namespace default"
    assert the(found, "engine") == Check("engine", "ok", at)
    assert the(found, "streams").verdict == "ok"
    assert all(setting.used for setting in found.settings if setting.name.startswith(("redis.", "temporal.")))
    for name in ("engine", "streams"):
        check = the(away, name)
        assert (check.verdict, nowhere in check.detail, bool(check.mend)) == ("broken", True, True)
    assert "database.url" in the(alone, "engine").detail


@pytest.mark.redis
def test_redis_is_tried_where_it_counts_for_limits_alone(redis_url: str) -> None:
    """With the embedded engine too; while it is away the service runs, and each process counts for itself."""
    nowhere = f"{LOOPBACK}:{free_port()}"
    there = the(examine(None, {"redis.url": redis_url}), "limits")
    away = examine(None, {"redis.url": f"redis://:hunter2@{nowhere}/0"})

    assert (there.verdict, there.detail.endswith("counts for all processes")) == ("ok", True)
    assert (the(away, "limits").verdict, away.healthy) == ("warning", True)
    assert nowhere in the(away, "limits").detail
    assert "redis.url" in the(away, "limits").mend
    assert "hunter2" not in repr(away)

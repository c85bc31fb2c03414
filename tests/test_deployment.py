"""The files of a deployment. No container engine runs here: they are checked against what they name."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml
from prometheus_client import generate_latest
from typer.main import get_command

from orchestrator.app.cli.root import root
from orchestrator.core.errors import SettingsError
from orchestrator.core.settings import ServerSettings, Settings, WorkerSettings, load_settings
from orchestrator.core.settings_sources import ALIASES, leaves, variable
from orchestrator.core.telemetry import Metrics
from support.services import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parents[1]
COMPOSE = HERE / "compose.yaml"
MANIFESTS = sorted((HERE / "deploy" / "kubernetes").glob("*.yaml"))
OURS = ("migrate", "service", "worker")
KUBERNETES = "1.31"
USER = 10_001


def composed() -> dict[str, Any]:
    """What compose.yaml says."""
    said: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return said


def resources() -> list[dict[str, Any]]:
    """Everything in the manifests."""
    return [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    """The manifests of a kind, by name."""
    return {each["metadata"]["name"]: each for each in resources() if each["kind"] == kind}


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods that the manifests describe, by the name of what makes them."""
    for kind in ("Deployment", "Job"):
        for name, each in of_kind(kind).items():
            yield name, each["spec"]["template"]["spec"]


def settings_named() -> set[str]:
    """Every variable that our containers are given, here or there."""
    services = composed()["services"]
    names = {name for each in OURS for name in services[each]["environment"]}
    names |= set(of_kind("ConfigMap")["orchestrator-settings"]["data"])
    for _, pod in pods():
        names |= {each["name"] for container in pod["containers"] for each in container["env"]}
    return names


def test_compose_is_as_its_schema_has_it() -> None:
    """By the schema of the Compose specification."""
    checked = subprocess.run(
        [COMMANDS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "resource", resources(), ids=lambda each: f"{each['kind']} {each['metadata']['name']}"
)
def test_manifests_are_as_kubernetes_has_them(resource: dict[str, Any]) -> None:
    """By Kubernetes' own schemas, without a field that it would ignore."""
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_every_variable_is_a_setting() -> None:
    """A name that the service does not know would stop its start."""
    known = {variable(name) for name, _ in leaves(Settings)} | set(ALIASES)
    assert settings_named() - known == set()


def test_every_command_exists() -> None:
    """Also in the Dockerfile."""
    commands = set(getattr(get_command(root), "commands"))  # noqa: B009  # typer's type does not say that it is a group
    named = {composed()["services"][each]["command"][0] for each in OURS}
    named |= {pod["containers"][0]["args"][0] for _, pod in pods()}
    named |= set(re.findall(r'^CMD \["(\w+)"\]$', (HERE / "Dockerfile").read_text(), re.MULTILINE))
    assert named == {"migrate", "serve", "worker"}
    assert named <= commands


def test_ports_are_those_of_the_settings() -> None:
    """The API's, a worker's for probes, and that of metrics, everywhere."""
    server, worker = ServerSettings(), WorkerSettings()
    by_name = dict(pods())
    api, working = (by_name[name]["containers"][0] for name in ("orchestrator", "orchestrator-worker"))
    assert [port["containerPort"] for port in api["ports"]] == [server.port, server.metrics_port]
    assert [port["containerPort"] for port in working["ports"]] == [worker.port, server.metrics_port]
    data = of_kind("ConfigMap")["orchestrator-settings"]["data"]
    assert data["ORCHESTRATOR_WORKER_PORT"] == str(worker.port)
    assert data["ORCHESTRATOR_SERVER_PORT"] == str(server.port)
    assert composed()["services"]["service"]["ports"] == [f"127.0.0.1:{server.port}:{server.port}"]
    dockerfile = (HERE / "Dockerfile").read_text()
    assert f"EXPOSE {server.port} {worker.port} {server.metrics_port}" in dockerfile
    scraped = yaml.safe_load((HERE / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scraped["dns_sd_configs"][0]["port"] == server.metrics_port
    assert set(scraped["dns_sd_configs"][0]["names"]) <= set(composed()["services"])


def test_pods_are_what_document_004_shows() -> None:
    """Three replicas of the API with both ports and their secret; workers that scale; time to end."""
    api = of_kind("Deployment")["orchestrator"]
    assert api["spec"]["replicas"] == 3
    scaler = of_kind("HorizontalPodAutoscaler")["orchestrator-worker"]["spec"]
    assert scaler["scaleTargetRef"]["name"] in of_kind("Deployment")
    for name, pod in pods():
        [container] = pod["containers"]
        assert pod["terminationGracePeriodSeconds"] > ServerSettings().shutdown_timeout_s, name
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == USER
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["resources"]["limits"]["memory"]
        secrets = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container["env"]}
        assert {each["name"] for each in secrets.values()} == {"orchestrator-secrets"}
        assert secrets["ORCHESTRATOR_DATABASE_URL"]["key"] == "database-url"
        assert "ORCHESTRATOR_AUTH_JWT_SECRET" in secrets
    for name in ("orchestrator", "orchestrator-worker"):
        container = of_kind("Deployment")[name]["spec"]["template"]["spec"]["containers"][0]
        assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
        assert container["livenessProbe"]["httpGet"]["path"] == "/health"


def test_compose_has_all_parts_where_the_documents_have_them() -> None:
    """Web pages on their ports, on this machine alone; Redis with its append-only file; secrets required."""
    services = composed()["services"]
    pages = {name: services[name]["ports"] for name in ("temporal-ui", "grafana", "jaeger")}
    assert pages == {
        "temporal-ui": ["127.0.0.1:8088:8080"],
        "grafana": ["127.0.0.1:3000:3000"],
        "jaeger": ["127.0.0.1:16686:16686"],
    }
    assert "--appendonly yes" in " ".join(services["redis"]["command"])
    assert services["worker"]["deploy"]["replicas"] == 2
    assert {"postgres", "redis", "temporal", "worker"} <= {
        name for name, each in services.items() if "healthcheck" in each
    }
    for name in OURS:
        assert services[name]["environment"]["ORCHESTRATOR_AUTH_JWT_SECRET"].startswith(
            "${ORCHESTRATOR_AUTH_JWT_SECRET:?"
        )
        assert services[name]["read_only"]
    for each in services.values():
        name, _, tag = each["image"].partition(":")
        assert re.match(r"v?\d+\.\d+", tag), f"{name} has no version"


def test_what_listens_for_others_starts_with_sign_in_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the secret the start is refused with what to set; the files say so too."""
    monkeypatch.setenv("ORCHESTRATOR_SERVER_HOST", "0.0.0.0")  # noqa: S104  # as in a container
    with pytest.raises(SettingsError, match=r"Set auth\.jwt_secret \(ORCHESTRATOR_AUTH_JWT_SECRET;"):
        load_settings()
    monkeypatch.setenv("ORCHESTRATOR_AUTH_JWT_SECRET", "as-openssl-rand-base64-48-would-make-it")
    assert load_settings().auth.is_on
    for path in (COMPOSE, *MANIFESTS):
        said = path.read_text().replace("\n# ", " ")
        assert "not deployed" in said, path
        assert "start without sign-in" in said, path


def test_the_image_is_small_hashed_and_not_root() -> None:
    """Two stages, locked requirements with hashes, a user of its own, a health check."""
    said = (HERE / "Dockerfile").read_text()
    assert len(re.findall(r"^FROM python:3\.\d+-slim", said, re.MULTILINE)) == 2
    assert said.count("--require-hashes") == 2
    assert f"USER {USER}" in said
    assert "HEALTHCHECK" in said
    pins = (HERE / "requirements" / "service.txt").read_text()
    extras = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in ("temporal", "postgres", "redis", "s3"):
        package = re.match(r"[\w-]+", extras[extra][0])
        assert package is not None
        assert f"\n{package[0]}==" in pins
    ignored = (HERE / ".dockerignore").read_text().split()
    for copied in re.findall(r"^COPY ([^-].*) \S+$", said, re.MULTILINE):
        for path in copied.split():
            assert (HERE / path).exists(), path
            assert f"!{path}" in ignored, path


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    """Every name in its queries is one that the service serves, with these labels."""
    board = json.loads((HERE / "deploy/grafana/dashboards/orchestrator.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"orchestrator_\w+", target["expr"])
    }
    metrics = Metrics()
    metrics.workflow_ended("lesson", "completed", 1.0)
    metrics.request_answered("GET", "/health", 200, 0.1)
    served = set(re.findall(r"^(orchestrator_\w+)", generate_latest(metrics.registry).decode(), re.MULTILINE))
    assert asked
    assert asked <= served

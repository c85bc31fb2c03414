"""Settings: sources and their order, names, and the sentences that stop a start."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from pydantic import create_model

from orchestrator.core.errors import SettingsError
from orchestrator.core.settings import Settings, load_settings
from orchestrator.core.settings_sources import ALIASES, leaves, variable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("ORCHESTRATOR_") or name in ALIASES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    """Write a file and give its path."""
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_configured_gives_a_loopback_service_on_embedded_parts() -> None:
    """Without file, environment and overrides the defaults of the house hold."""
    settings = load_settings()

    assert (settings.server.host, settings.server.port, settings.server.metrics_port) == (
        "127.0.0.1",
        8080,
        9090,
    )
    assert settings.engine == "embedded"
    assert settings.data_dir.name == "orchestrator-data"
    assert not settings.model.is_configured
    assert settings.redis.address is None
    assert settings.notices == ()


def test_later_sources_win_setting_by_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line wins over the environment, the environment over the file, each setting for itself."""
    config = write(
        tmp_path / "mine.yaml",
        "server:\n  port: 1111\n  metrics_port: 2222\n  max_body_bytes: 3333\ndata_dir: from-file\n",
    )
    monkeypatch.setenv("ORCHESTRATOR_SERVER_PORT", "4444")
    monkeypatch.setenv("ORCHESTRATOR_SERVER_METRICS_PORT", "5555")

    settings = load_settings(config, {"server.port": 6666, "data_dir": None})

    assert (settings.server.port, settings.server.metrics_port) == (6666, 5555)
    assert settings.server.max_body_bytes == 3333
    assert settings.data_dir.name == "from-file"


def test_config_yaml_of_the_working_directory_is_read(tmp_path: Path) -> None:
    """``config.yaml`` needs no option; a section without content counts as not set."""
    write(tmp_path / "config.yaml", "telemetry:\n  log_format: json\nserver:\n")

    assert load_settings().telemetry.log_format == "json"


@pytest.mark.parametrize("dotted", [name for name, _ in leaves(Settings)])
def test_every_setting_has_a_variable_of_its_own_and_says_what_it_takes(dotted: str) -> None:
    """No two settings share a variable, and each explains itself."""
    fields = dict(leaves(Settings))

    assert [name for name in fields if variable(name) == variable(dotted)] == [dotted]
    assert fields[dotted].description


def test_the_environment_takes_the_documents_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Aliases, nested names and the documents' capitals all reach their settings."""
    monkeypatch.setenv("REDIS_URL", "redis://localhost:6379/2")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:11434/v1")
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", "elsewhere")
    monkeypatch.setenv("ORCHESTRATOR_TELEMETRY_JAEGER_COLLECTOR_ENDPOINT", "http://jaeger:14268/api/traces")

    settings = load_settings()

    assert settings.redis.address == "redis://localhost:6379/2"
    assert settings.telemetry.log_level == "debug"
    assert settings.model.api_key is not None
    assert settings.model.api_key.get_secret_value() == "sk-secret"
    assert settings.model.base_url == "http://localhost:11434/v1"
    assert settings.data_dir.name == "elsewhere"
    assert settings.telemetry.traces_endpoint == "http://jaeger:4318/v1/traces"
    assert sum("Jaeger takes OTLP" in notice for notice in settings.notices) == 1


def test_settings_made_in_code_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ``load_settings`` reads variables; pydantic's own bare names, such as ENGINE, mean nothing."""
    monkeypatch.setenv("ENGINE", "steam")
    monkeypatch.setenv("ORCHESTRATOR_SERVER_PORT", "1")

    assert (Settings().engine, Settings().server.port) == ("embedded", 8080)
    assert load_settings().engine == "embedded"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass ``OPENAI_API_KEY=`` on; that must not look like a configured model."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("ORCHESTRATOR_SERVER_PORT", "")

    settings = load_settings()

    assert not settings.model.is_configured
    assert settings.server.port == 8080


def test_document_004s_file_loads_once_it_listens_on_loopback(tmp_path: Path) -> None:
    """Its sections are known, parts that are not there yet are reported, and its collector becomes OTLP."""
    config = write(
        tmp_path / "config.yaml",
        """
server: {port: 8080, host: 127.0.0.1, enable_metrics: true, metrics_port: 9090}
database:
  url: postgres://user:pass@localhost:5432/orchestrator?sslmode=disable
  max_open_conns: 25
  max_idle_conns: 5
redis: {addr: "localhost:6379", db: 0}
temporal: {host_port: "localhost:7233", namespace: default, task_queue: orchestrator-task-queue}
intent_api: {address: "intent-processor:50051"}
agent_manager: {base_url: "http://agent-manager:8081"}
telemetry:
  enabled: true
  service_name: orchestrator
  environment: development
  jaeger: {collector_endpoint: "http://localhost:14268/api/traces"}
""",
    )

    settings = load_settings(config)

    assert settings.redis.address == "redis://localhost:6379/0"
    assert settings.telemetry.traces_endpoint == "http://localhost:4318/v1/traces"
    assert [notice.partition(" ")[0] for notice in settings.notices] == [
        "telemetry.jaeger.collector_endpoint:",
        "redis",
        "intent_api",
        "agent_manager",
    ]


@pytest.mark.parametrize(
    ("variables", "sentences"),
    [
        (
            {"ORCHESTRATOR_SERVER_PROT": "1"},
            ["There is no setting ORCHESTRATOR_SERVER_PROT. Did you mean ORCHESTRATOR_SERVER_PORT?"],
        ),
        (
            {"ORCHESTRATOR_SERVER_PORT": "http", "LOG_LEVEL": "loud"},
            [
                "server.port (ORCHESTRATOR_SERVER_PORT) is 'http'. It takes a TCP port",
                "telemetry.log_level (ORCHESTRATOR_TELEMETRY_LOG_LEVEL) is 'loud'. It takes debug, info,",
            ],
        ),
        (
            {"REDIS_URL": "redis://a:1", "ORCHESTRATOR_REDIS_URL": "redis://b:1"},
            ["ORCHESTRATOR_REDIS_URL and REDIS_URL are two names for redis.url and have different values"],
        ),
        (
            {"REDIS_URL": "redis://a:1", "ORCHESTRATOR_REDIS_ADDR": "b:1"},
            ["redis.url and redis.addr name different places"],
        ),
        (
            {
                "ORCHESTRATOR_TELEMETRY_OTLP_ENDPOINT": "http://a:4318/v1/traces",
                "ORCHESTRATOR_TELEMETRY_JAEGER_COLLECTOR_ENDPOINT": "http://b:14268/api/traces",
            },
            ["telemetry.otlp_endpoint and telemetry.jaeger.collector_endpoint name different places"],
        ),
        ({"ORCHESTRATOR_AUTH_JWT_SECRET": "s3cret"}, ["auth.jwt_secret is shorter than 32 bytes"]),
        (
            {"ORCHESTRATOR_AUTH_JWT_SECRET": "-----BEGIN PUBLIC KEY----- s3cret -----END PUBLIC KEY-----"},
            ["auth.jwt_secret is a key in PEM", "auth.jwks_url"],
        ),
        (
            {"ORCHESTRATOR_AUTH_ENABLED": "true"},
            ["nothing says whose tokens are valid", "Set auth.jwt_secret (ORCHESTRATOR_AUTH_JWT_SECRET;"],
        ),
        (
            {"ORCHESTRATOR_AUTH_ENABLED": "false", "SUPABASE_URL": "https://a.supabase.co"},
            ["auth.enabled is false, and auth.supabase_url turns sign-in on"],
        ),
        (
            {"SUPABASE_ANON_KEY": "s3cret", "EDGE_SERVICE_JWT": "s3cret"},
            ["auth.supabase_anon_key, which everybody may know"],
        ),
        (
            {
                "ORCHESTRATOR_SERVER_HOST": "0.0.0.0",  # noqa: S104 - it is refused
                "SUPABASE_URL": "https://a.supabase.co",
                "SUPABASE_SERVICE_ROLE_KEY": "your-service-role-key",
            },
            ["SUPABASE_SERVICE_ROLE_KEY", "shorter than 32 characters, so it could be guessed"],
        ),
        (
            {"ORCHESTRATOR_SERVER_HOST": "0.0.0.0"},  # noqa: S104 - it is refused
            ["other machines can reach", "Set auth.jwt_secret", "or set server.host to 127.0.0.1"],
        ),
        ({"ORCHESTRATOR_SERVER_HOST": "example.org"}, ["server.host is 'example.org'"]),
    ],
)
def test_what_is_wrong_stops_the_start_and_says_what_is_right(
    variables: dict[str, str], sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refusal names the setting and what it takes, all wrong settings at once."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        load_settings()

    for sentence in sentences:
        assert sentence in refused.value.message
    assert "s3cret" not in refused.value.message


def numbers() -> dict[str, list[str]]:
    """Each setting that takes a number, with the bounds that its type sets."""
    bounds = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    found = {}
    for name, field in leaves(Settings):
        alone = create_model("Alone", value=(field.annotation or object, field))
        schema = alone.model_json_schema()["properties"]["value"]
        for kind in schema.get("anyOf", [schema]):
            if kind.get("type") in {"integer", "number"}:
                found[name] = [f"{kind[bound]:.12g}" for bound in bounds if bound in kind]
    return found


@pytest.mark.parametrize("name", numbers())
def test_a_refused_number_is_told_the_smallest_and_the_largest(name: str) -> None:
    """Nobody has to guess how far off a value was."""
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {name: "-1"})

    said = refused.value.message.partition("It takes")[2]
    assert numbers()[name]
    for bound in numbers()[name]:
        assert re.search(rf"\b{bound}\b", said)


def test_same_value_under_two_names_is_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two names that agree are harmless."""
    monkeypatch.setenv("REDIS_URL", "redis://a:1/0")
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://a:1/0")
    monkeypatch.setenv("ORCHESTRATOR_REDIS_ADDR", "a:1")

    assert load_settings().redis.address == "redis://a:1/0"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("server: {prot: 1}", "There is no setting server.prot. Did you mean server.port?"),
        ("servers: {port: 1}", "There is no setting servers."),
        ("server: 8080", "server is a section"),
        ("- a\n- b", "must hold sections"),
        ("server: [", "is not valid YAML"),
        ("model: {api_key: [sk-secret]}", "model.api_key (ORCHESTRATOR_MODEL_API_KEY) is not right"),
    ],
)
def test_a_wrong_file_stops_the_start(text: str, sentence: str, tmp_path: Path) -> None:
    """Unknown keys, wrong shapes and broken YAML are refused, and secrets are not repeated."""
    with pytest.raises(SettingsError) as refused:
        load_settings(write(tmp_path / "config.yaml", text))

    assert sentence in refused.value.message
    assert "sk-secret" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "section"),
    [("server: [1]", "server"), ("telemetry: {jaeger: http://a:1}", "telemetry.jaeger")],
)
def test_a_wrong_section_is_not_hidden_by_what_overrides_it(text: str, section: str, tmp_path: Path) -> None:
    """A list where settings belong is refused also when the command line or the environment fills them."""
    config = write(tmp_path / "config.yaml", text)
    overrides = {"server.port": 1, "telemetry.jaeger.collector_endpoint": "http://b:1"}

    with pytest.raises(SettingsError, match=rf"config\.yaml: {section} is a section"):
        load_settings(config, overrides)


def test_an_empty_section_counts_as_not_set(tmp_path: Path) -> None:
    """What is commented out below its heading leaves the defaults, at any depth."""
    assert (
        load_settings(write(tmp_path / "config.yaml", "telemetry:\n  jaeger:\nmodel:\n")) == load_settings()
    )


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    """``--config`` with a wrong path is an error, not the defaults."""
    with pytest.raises(SettingsError, match=r"gone\.yaml cannot be read: No such file"):
        load_settings(tmp_path / "gone.yaml")


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printing the settings shows no secret."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", "postgres://user:hunter2@db/x")

    shown = repr(load_settings())

    assert "sk-secret" not in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_hosts_are_served(host: str) -> None:
    """Every spelling of this machine alone is accepted."""
    assert load_settings(None, {"server.host": host}).server.is_loopback


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            "temporal: {tls: true, tls_cert_file: a.pem}",
            "temporal.tls_cert_file and temporal.tls_key_file go",
        ),
        ("temporal: {tls_ca_file: a.pem}", "set temporal.tls to true"),
        ("payloads: {store_dir: a, s3_bucket: values}", "are two places; set one of them"),
        ("payloads: {s3_bucket: values, s3_access_key_id: a}", "go together; set both or none"),
    ],
)
def test_settings_that_do_not_fit_together_are_named(tmp_path: Path, section: str, said: str) -> None:
    """Of TLS, and of where large values are kept."""
    with pytest.raises(SettingsError, match=re.escape(said)):
        load_settings(write(tmp_path / "config.yaml", section))


def test_keys_of_the_cluster_and_the_bucket_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read from the environment and shown nowhere."""
    monkeypatch.setenv("ORCHESTRATOR_TEMPORAL_API_KEY", "sesame-cloud")
    monkeypatch.setenv("ORCHESTRATOR_TEMPORAL_TLS_SERVER_NAME", "temporal.example")
    monkeypatch.setenv("ORCHESTRATOR_PAYLOADS_S3_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("ORCHESTRATOR_PAYLOADS_S3_SECRET_ACCESS_KEY", "sesame-bucket")
    settings = load_settings()
    assert settings.temporal.api_key
    assert settings.temporal.api_key.get_secret_value() == "sesame-cloud"
    assert settings.temporal.has_tls_details
    assert "sesame" not in repr(settings)


SECRET = "a-secret-that-is-thirty-two-bytes-long-at-least"  # noqa: S105


def test_sign_in_is_on_once_something_says_whose_tokens_are_believed() -> None:
    """A secret, an address of keys, or a Supabase project; then other machines may be served."""
    for name, value in {
        "auth.jwt_secret": SECRET,
        "auth.jwks_url": "https://example.org/jwks.json",
        "auth.supabase_url": "https://your-project.supabase.co",
    }.items():
        settings = load_settings(None, {name: value, "server.host": "0.0.0.0"})  # noqa: S104 - served
        assert settings.auth.is_on
    assert not load_settings().auth.is_on
    assert load_settings(None, {"auth.jwt_secret": SECRET, "auth.enabled": True}).auth.is_on
    assert SECRET not in repr(load_settings(None, {"auth.jwt_secret": SECRET}))


def test_a_supabase_project_is_where_its_tokens_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents' variables, and what they stand for; what is set beside them wins."""
    for name, value in {
        "SUPABASE_URL": "https://your-project.supabase.co/",
        "SUPABASE_SERVICE_ROLE_KEY": "your-service-role-key",
        "SUPABASE_ANON_KEY": "your-anon-key",
        "EDGE_SERVICE_JWT": "your-service-role-jwt",
    }.items():
        monkeypatch.setenv(name, value)

    auth = load_settings().auth
    other = load_settings(None, {"auth.issuer": "mine", "auth.jwks_url": "http://keys/"}).auth

    assert auth.token_issuer == "https://your-project.supabase.co/auth/v1"  # noqa: S105 - an address
    assert auth.jwks_address == "https://your-project.supabase.co/auth/v1/.well-known/jwks.json"
    assert auth.audience == "authenticated"
    assert auth.service_keys == ("your-service-role-key", "your-service-role-jwt")
    assert (other.token_issuer, other.jwks_address) == ("mine", "http://keys/")

"""Settings: what can be set, what each takes, and the rules between them.

``config.yaml`` is read first, then the environment (``ORCHESTRATOR_<SECTION>_<FIELD>``), then what the
command line says; the later wins. ``orchestrator.core.settings_sources`` does the reading. A field's
description completes the sentence "It takes …", which is what people see when a value is wrong.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.core.errors import SettingsError
from orchestrator.core.listening import is_loopback
from orchestrator.core.postgres_address import PostgresAddress
from orchestrator.core.rates import Rate
from orchestrator.core.redis_address import RedisAddress
from orchestrator.core.settings_sources import config_file, environment, explain, nested

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where an OpenTelemetry collector, and Jaeger since 1.35, takes OTLP over HTTP.
OTLP_HTTP_PORT = 4318
OTLP_TRACES_PATH = "/v1/traces"

TokenCount = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]
# web/limits counts in millionths of a token-second; with these, an hour's burst stays far below Lua's 2**53.
LARGEST_BURST = 10_000
MINUTE_S = 60
HOUR_S = 3_600
PerPeriod = Annotated[int, Field(ge=1, le=1_000_000)]
Burst = Annotated[int, Field(ge=1, le=LARGEST_BURST)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
PricePerMillion = Annotated[float, Field(ge=0)]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Section(BaseModel):
    """A group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerSettings(Section):
    """Where and how the service listens."""

    host: str = Field("127.0.0.1", min_length=1, description="a host name or IP address to listen on")
    port: Port = Field(8080, description="a TCP port from 0 (any free one) to 65535")
    enable_metrics: bool = Field(default=True, description="true or false: whether metrics are served")
    metrics_port: Port = Field(9090, description="a TCP port from 0 (any free one) to 65535")
    request_timeout_s: Seconds = Field(
        60.0, description="seconds that a request may take, more than 0 and up to 86400"
    )
    shutdown_timeout_s: Seconds = Field(
        30.0, description="seconds that requests in flight get at shutdown, more than 0 and up to 86400"
    )
    max_body_bytes: int = Field(
        10 * 1024 * 1024,
        ge=1,
        description="the size in bytes of the largest request body accepted, 1 or more",
    )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(f"[{self.host}]" if ":" in self.host else self.host)


class WorkerSettings(Section):
    """`orchestrator worker`, which listens where ``server.host`` says."""

    port: Port = Field(
        8081, description="a TCP port from 0 (any free one) to 65535, for /health and /ready of a worker"
    )


class DatabaseSettings(Section):
    """The rooms' tables: PostgreSQL by ``url``, or a SQLite file in the data directory when none is given."""

    url: SecretStr | None = Field(None, description="an address like postgres://user:password@host:5432/name")
    max_open_conns: int = Field(25, ge=1, le=10_000, description="the most connections open, from 1 to 10000")
    max_idle_conns: int = Field(
        5, ge=1, le=10_000, description="the most connections kept open while idle, from 1 to 10000"
    )

    @model_validator(mode="after")
    def _an_address(self) -> DatabaseSettings:
        try:
            _ = self.postgres
        except ValueError as error:
            takes = DatabaseSettings.model_fields["url"].description
            raise ValueError(f"database.url takes {takes}: {error}") from None
        return self

    @property
    def postgres(self) -> PostgresAddress | None:
        """Where the tables are; None for a SQLite file in the data directory."""
        return PostgresAddress.parse(self.url.get_secret_value()) if self.url else None


class JournalSettings(Section):
    """Where runs are recorded: how long those that have ended are kept."""

    retention_days: int = Field(
        30, ge=0, le=36_500, description="days that ended runs are kept, up to 36500, or 0 for ever"
    )

    @property
    def retention(self) -> timedelta | None:
        """How long ended runs are kept; None is for ever."""
        return timedelta(days=self.retention_days) if self.retention_days else None


class RedisSettings(Section):
    """Redis for event streams, by ``url`` or by ``addr`` and ``db``."""

    url: SecretStr | None = Field(None, description="an address like redis://host:6379/0")
    addr: str | None = Field(None, pattern=r"^[^\s:/]+:\d{1,5}$", description="host:port")
    db: int = Field(0, ge=0, description="a database number, 0 or more")

    @model_validator(mode="after")
    def _one_address(self) -> RedisSettings:
        try:
            given = RedisAddress.parse(self.url.get_secret_value()) if self.url else None
        except ValueError as error:
            takes = RedisSettings.model_fields["url"].description
            raise ValueError(f"redis.url takes {takes}: {error}") from None
        if given and self.addr and (str(given), given.db) != (self.addr, self.db):
            raise ValueError("redis.url and redis.addr name different places; set one of them")
        return self

    @property
    def address(self) -> str | None:
        """The one address as a URL, or None when Redis is not configured."""
        if self.url:
            return self.url.get_secret_value()
        return f"redis://{self.addr}/{self.db}" if self.addr else None


class TemporalSettings(Section):
    """The Temporal cluster, used when ``engine`` is temporal."""

    host_port: str = Field("localhost:7233", pattern=r"^[^\s/]+:\d{1,5}$", description="host:port")
    namespace: str = Field("default", min_length=1, description="the name of a Temporal namespace")
    task_queue: str = Field("orchestrator-task-queue", min_length=1, description="the name of a task queue")
    tls: bool = Field(
        default=False, description="true or false: whether the connection is encrypted; an API key implies it"
    )
    tls_ca_file: Path | None = Field(
        None, description="a file with certificates in PEM, of who may have signed the server's"
    )
    tls_cert_file: Path | None = Field(None, description="a file with this side's certificate in PEM")
    tls_key_file: Path | None = Field(None, description="a file with that certificate's private key in PEM")
    tls_server_name: str | None = Field(
        None, min_length=1, description="the name in the server's certificate, where it is not the host's"
    )
    api_key: SecretStr | None = Field(None, description="an API key, as Temporal Cloud gives them")
    workers: bool = Field(
        default=True, description="true or false: whether `orchestrator serve` works on runs itself"
    )
    max_concurrent_steps: int = Field(
        100, ge=1, le=10_000, description="how many steps one process runs side by side, from 1 to 10000"
    )

    @model_validator(mode="after")
    def _tls_as_a_whole(self) -> TemporalSettings:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("temporal.tls_cert_file and temporal.tls_key_file go together; set both or none")
        if self.has_tls_details and not self.tls and self.api_key is None:
            raise ValueError("temporal.tls is false, and settings of TLS are given; set temporal.tls to true")
        return self

    @property
    def has_tls_details(self) -> bool:
        """Whether anything is said about TLS beyond that it is used."""
        return any((self.tls_ca_file, self.tls_cert_file, self.tls_server_name))


class ModelSettings(Section):
    """The model: any OpenAI-compatible endpoint; the offline composer when neither key nor address is set."""

    api_key: SecretStr | None = Field(None, description="the provider's key")
    base_url: HttpUrl | None = Field(None, description="an address like http://localhost:11434/v1")
    name: str = Field("gpt-5-mini", min_length=1, description="the model's name, as the provider spells it")
    image_model: str | None = Field(None, min_length=1, description="the name of a model that draws pictures")
    temperature: float | None = Field(None, ge=0, le=2, description="a number from 0 to 2")
    price_input_per_million: PricePerMillion | None = Field(
        None, description="the price in US dollars of a million tokens read, 0 or more"
    )
    price_output_per_million: PricePerMillion | None = Field(
        None, description="the price in US dollars of a million tokens written, 0 or more"
    )
    timeout_s: Seconds = Field(
        120.0, description="seconds that one call of the model may take, more than 0 and up to 86400"
    )

    @property
    def is_configured(self) -> bool:
        """Whether there is a model to call; keyless endpoints need only their address."""
        return self.api_key is not None or self.base_url is not None


class PayloadSettings(Section):
    """What runs record: how large one value may be, and with what it is encrypted."""

    max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="the size in bytes of the largest value that a run may record, from 1024 to 1073741824",
    )
    encryption_keys: SecretStr | None = Field(
        None,
        description="keys as id:base64,id:base64, the one that encrypts first, each of 32 bytes "
        "(`openssl rand -base64 32` makes one)",
    )
    store_dir: Path | None = Field(
        None,
        description="a directory that all processes see, for pictures and large values of runs on Temporal",
    )
    s3_bucket: str | None = Field(
        None, pattern=r"^[a-z0-9.-]{3,63}$", description="the name of an S3 bucket, for the same in its place"
    )
    s3_endpoint_url: HttpUrl | None = Field(None, description="an address like http://minio:9000")
    s3_region: str | None = Field(None, min_length=1, description="the name of a region, like eu-central-1")
    s3_access_key_id: str | None = Field(None, min_length=1, description="the id of an access key")
    s3_secret_access_key: SecretStr | None = Field(None, description="the secret of that access key")

    @model_validator(mode="after")
    def _one_store(self) -> PayloadSettings:
        if self.store_dir and self.s3_bucket:
            raise ValueError("payloads.store_dir and payloads.s3_bucket are two places; set one of them")
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError(
                "payloads.s3_access_key_id and payloads.s3_secret_access_key go together; set both or none"
            )
        return self


class LessonSettings(Section):
    """What lessons may spend."""

    session_budget_tokens: TokenCount = Field(
        200_000, description="the most tokens that one session may use, 1 or more"
    )
    daily_cap_tokens: TokenCount = Field(
        5_000_000, description="the most tokens that all sessions together may use in one UTC day, 1 or more"
    )


class LimitSettings(Section):
    """How often callers may ask, and how often the service asks agents."""

    requests_per_minute: PerPeriod = Field(
        60, description="how many requests a minute one user may send in the long run, from 1 to 1000000"
    )
    burst: Burst = Field(20, description="how many of them at once after a pause, from 1 to 10000")
    day_runs_per_hour: PerPeriod = Field(
        10, description="how many daily plans one user may ask for in an hour, from 1 to 1000000"
    )
    agent_calls_per_minute: PerPeriod = Field(
        600, description="how many calls a minute one agent gets in the long run, from 1 to 1000000"
    )
    agent_burst: Burst = Field(100, description="how many of them at once after a pause, from 1 to 10000")

    @property
    def requests(self) -> Rate:
        """Of one user, or of one address where there is no user."""
        return Rate(self.requests_per_minute, MINUTE_S, self.burst)

    @property
    def day_runs(self) -> Rate:
        """Of one user."""
        return Rate(self.day_runs_per_hour, HOUR_S, min(self.day_runs_per_hour, LARGEST_BURST))

    @property
    def agent_calls(self) -> Rate:
        """To one agent, whoever they are for."""
        return Rate(self.agent_calls_per_minute, MINUTE_S, self.agent_burst)


class JaegerSettings(Section):
    """The older way to name where traces go."""

    collector_endpoint: HttpUrl | None = Field(
        None, description="an address like http://jaeger:14268/api/traces"
    )


class TelemetrySettings(Section):
    """Logs, and traces once they are enabled."""

    enabled: bool = Field(default=False, description="true or false: whether traces are sent")
    service_name: str = Field("orchestrator", min_length=1, description="the name that traces carry")
    environment: str = Field("development", min_length=1, description="the environment that traces carry")
    sampling_rate: float = Field(1.0, ge=0, le=1, description="the share of requests traced, from 0 to 1")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="debug, info, warning or error"
    )
    log_format: Literal["console", "json"] = Field("console", description="console or json")
    otlp_endpoint: HttpUrl | None = Field(None, description="an address like http://localhost:4318/v1/traces")
    jaeger: JaegerSettings = JaegerSettings()

    @model_validator(mode="after")
    def _one_collector(self) -> TelemetrySettings:
        if self.otlp_endpoint and self.jaeger.collector_endpoint and self._from_jaeger != self.otlp_endpoint:
            raise ValueError(
                "telemetry.otlp_endpoint and telemetry.jaeger.collector_endpoint name different places; "
                "set telemetry.otlp_endpoint alone"
            )
        return self

    @property
    def traces_endpoint(self) -> str:
        """Where traces go, as an OTLP/HTTP address."""
        return (
            self.otlp_endpoint or self._from_jaeger or f"http://localhost:{OTLP_HTTP_PORT}{OTLP_TRACES_PATH}"
        )

    @property
    def _from_jaeger(self) -> str | None:
        if self.jaeger.collector_endpoint is None:
            return None
        collector = urlsplit(self.jaeger.collector_endpoint)
        host = f"[{collector.hostname}]" if ":" in (collector.hostname or "") else collector.hostname
        return f"{collector.scheme}://{host}:{OTLP_HTTP_PORT}{OTLP_TRACES_PATH}"


class AuthSettings(Section):
    """Sign-in. It is not there yet: setting it refuses the start rather than serve without it."""

    enabled: bool = Field(default=False, description="true or false: whether callers must sign in")
    jwt_secret: SecretStr | None = Field(None, description="the secret that signs the callers' tokens")
    api_key_header: str = Field(
        "X-API-Key", pattern=r"^[A-Za-z0-9-]+$", description="the name of a request header"
    )


class LaterSection(BaseModel):
    """Settings of a part that is not there yet: read, reported, without effect."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    server: ServerSettings = ServerSettings()
    worker: WorkerSettings = WorkerSettings()
    data_dir: Path = Field(Path("orchestrator-data"), description="a directory for everything kept on disk")
    engine: Annotated[Literal["embedded", "temporal"], BeforeValidator(_lower)] = Field(
        "embedded", description="embedded or temporal"
    )
    journal: JournalSettings = JournalSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    temporal: TemporalSettings = TemporalSettings()
    model: ModelSettings = ModelSettings()
    payloads: PayloadSettings = PayloadSettings()
    lessons: LessonSettings = LessonSettings()
    limits: LimitSettings = LimitSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    auth: AuthSettings = AuthSettings()
    intent_api: LaterSection = LaterSection()
    agent_manager: LaterSection = LaterSection()

    @model_validator(mode="after")
    def _no_promise_of_sign_in(self) -> Settings:
        if self.auth.enabled or self.auth.jwt_secret is not None:
            raise ValueError(
                "auth.enabled and auth.jwt_secret ask for sign-in, which this version does not have yet. "
                "Serving without it would leave every route open, so the service does not start. "
                "Remove both settings to run for this machine alone"
            )
        if not self.server.is_loopback:
            raise ValueError(
                f"server.host is {self.server.host!r}, which other machines can reach, and this version has "
                "no sign-in yet, so anyone could use the service. Set server.host to 127.0.0.1, and use "
                "an SSH tunnel to reach it from elsewhere"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - likewise
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take nothing from the environment by itself: ``load_settings`` names the sources."""
        return (init_settings,)

    @property
    def notices(self) -> tuple[str, ...]:
        """What is set but does not do what one might expect, one sentence each, to be logged at start."""
        said = []
        if self.telemetry.jaeger.collector_endpoint:
            said.append(
                "telemetry.jaeger.collector_endpoint: Jaeger takes OTLP now, so traces go to "
                f"{self.telemetry.traces_endpoint}; set telemetry.otlp_endpoint instead."
            )
        if self.redis.address and self.engine == "embedded":
            said.append(
                "redis is set, and limits are counted there; the embedded engine keeps event streams in the "
                "data directory all the same, in one file with its runs."
            )
        said.extend(
            f"{name} is set and has no effect yet: this version has no such part."
            for name in ("intent_api", "agent_manager")
            if getattr(self, name).model_extra
        )
        return tuple(said)


def load_settings(config: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Read the settings from file, environment and ``overrides``, the later over the earlier.

    Args:
        config: The YAML file; None takes ``config.yaml`` of the working directory if it is there.
        overrides: What the command line says, by dotted name (``server.port``); None values are left out.

    Raises:
        SettingsError: A value is wrong, a name unknown, the file unreadable, or two names for one setting
            differ. The message names each setting and what it takes.
    """
    sources = (
        InitSettingsSource(Settings, nested(overrides or {})),
        environment(Settings),
        config_file(Settings, config),
    )
    try:
        return Settings(_build_sources=(sources, {}))
    except ValidationError as error:
        raise SettingsError(explain(error, Settings)) from None

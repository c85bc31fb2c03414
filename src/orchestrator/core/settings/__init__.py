"""Settings: what can be set, what each takes, and the rules between them.

``config.yaml`` is read first, then the environment (``ORCHESTRATOR_<SECTION>_<FIELD>``), then what the
command line says; the later wins. ``orchestrator.core.settings_sources`` does the reading. A field's
description completes the sentence "It takes …", which is what people see when a value is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.core.errors import SettingsError
from orchestrator.core.settings.audit import AuditSettings
from orchestrator.core.settings.auth import WHAT_TO_SET, AuthSettings
from orchestrator.core.settings.client import ClientSettings
from orchestrator.core.settings.days import DaySettings
from orchestrator.core.settings.limits import LimitSettings
from orchestrator.core.settings.model import LessonSettings, ModelSettings
from orchestrator.core.settings.section import LaterSection, lower
from orchestrator.core.settings.server import ServerSettings, WorkerSettings
from orchestrator.core.settings.stores import (
    DatabaseSettings,
    JournalSettings,
    PayloadSettings,
    RedisSettings,
)
from orchestrator.core.settings.telemetry import JaegerSettings, TelemetrySettings
from orchestrator.core.settings.temporal import TemporalSettings
from orchestrator.core.settings.webhooks import WebhookSettings
from orchestrator.core.settings_sources import config_file, environment, explain, nested

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AuditSettings",
    "AuthSettings",
    "ClientSettings",
    "DatabaseSettings",
    "DaySettings",
    "JaegerSettings",
    "JournalSettings",
    "LessonSettings",
    "LimitSettings",
    "ModelSettings",
    "PayloadSettings",
    "RedisSettings",
    "ServerSettings",
    "Settings",
    "TelemetrySettings",
    "TemporalSettings",
    "WebhookSettings",
    "WorkerSettings",
    "load_settings",
]

SHORTEST_SERVICE_KEY_CHARS = 32


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    server: ServerSettings = ServerSettings()
    worker: WorkerSettings = WorkerSettings()
    data_dir: Path = Field(Path("orchestrator-data"), description="a directory for everything kept on disk")
    engine: Annotated[Literal["embedded", "temporal"], BeforeValidator(lower)] = Field(
        "embedded", description="embedded or temporal"
    )
    journal: JournalSettings = JournalSettings()
    database: DatabaseSettings = DatabaseSettings()
    redis: RedisSettings = RedisSettings()
    temporal: TemporalSettings = TemporalSettings()
    model: ModelSettings = ModelSettings()
    payloads: PayloadSettings = PayloadSettings()
    lessons: LessonSettings = LessonSettings()
    days: DaySettings = DaySettings()
    limits: LimitSettings = LimitSettings()
    webhooks: WebhookSettings = WebhookSettings()
    audit: AuditSettings = AuditSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    auth: AuthSettings = AuthSettings()
    client: ClientSettings = ClientSettings()
    intent_api: LaterSection = LaterSection()
    agent_manager: LaterSection = LaterSection()

    @model_validator(mode="after")
    def _open_to_whom(self) -> Settings:
        if self.server.is_loopback:
            return self
        if not self.auth.is_on:
            raise ValueError(
                f"server.host is {self.server.host!r}, which other machines can reach, and nobody would have "
                f"to sign in. Set {WHAT_TO_SET}; or set server.host to 127.0.0.1, to serve this machine alone"
            )
        if any(len(key) < SHORTEST_SERVICE_KEY_CHARS for key in self.auth.service_keys):
            raise ValueError(
                f"server.host is {self.server.host!r}, which other machines can reach, and a service's "
                "secret (SUPABASE_SERVICE_ROLE_KEY, EDGE_SERVICE_JWT) is shorter than "
                f"{SHORTEST_SERVICE_KEY_CHARS} characters, so it could be guessed. Set the project's own"
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

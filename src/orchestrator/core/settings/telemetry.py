"""Logs and traces."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.core.settings.section import HttpUrl, Section, lower

# Where an OpenTelemetry collector, and Jaeger since 1.35, takes OTLP over HTTP.
OTLP_HTTP_PORT = 4318
OTLP_TRACES_PATH = "/v1/traces"


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
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = Field(
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

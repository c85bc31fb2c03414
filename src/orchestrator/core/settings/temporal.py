"""The Temporal cluster."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from orchestrator.core.settings.section import Section


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

"""Where the processes listen."""

from __future__ import annotations

from pydantic import Field

from orchestrator.core.listening import is_loopback_host
from orchestrator.core.settings.section import Port, Seconds, Section


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
        return is_loopback_host(self.host)


class WorkerSettings(Section):
    """`orchestrator worker`, which listens where ``server.host`` says."""

    port: Port = Field(
        8081, description="a TCP port from 0 (any free one) to 65535, for /health and /ready of a worker"
    )

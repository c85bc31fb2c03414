"""The service that runs, or the ports that one would take."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx2

from orchestrator.app.data_dir import serving
from orchestrator.app.doctor.report import PROBE_TIMEOUT_S, Check
from orchestrator.core.settings_sources import variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.app.doctor.report import Verdict
    from orchestrator.core.settings import ServerSettings, Settings


def service_or_ports(settings: Settings) -> Iterator[Check]:
    """How the service is, or whether one could listen."""
    service = serving(settings.data_dir)
    if service is None:
        yield _port("port", settings.server.host, settings.server.port, "--port")
        if settings.server.enable_metrics:
            yield _metrics_port(settings.server)
    elif not service.address:
        yield Check("service", "warning", f"pid {service.pid} has the data directory and does not answer yet")
    else:
        yield _health(service.address, service.pid)


def _health(address: str, pid: int) -> Check:
    try:
        answer = httpx2.get(f"{address}/health", timeout=PROBE_TIMEOUT_S, trust_env=False)
        said = answer.json()["status"]
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        mend = f"Look at the output of process {pid}; stop it with `kill {pid}` if it hangs."
        return Check("service", "broken", f"pid {pid} at {address} does not answer: {error}", mend)
    verdict: Verdict = "ok" if said == "healthy" else "warning"
    mend = "" if verdict == "ok" else f"{address}/health says which part it is."
    return Check("service", verdict, f"running as pid {pid} at {address}, {said}", mend)


def _port(name: str, host: str, port: int, option: str) -> Check:
    mend = f"Stop the program that uses it, or choose another with {option} (0 takes any free one)."
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the service itself does
            probe.bind(address)
    except OSError as error:
        return Check(name, "broken", f"{host}:{port} cannot be used: {error.strerror}", mend)
    return Check(name, "ok", f"{host}:{port} is free")


def _metrics_port(server: ServerSettings) -> Check:
    check = _port("metrics port", server.host, server.metrics_port, variable("server.metrics_port"))
    if check.verdict == "broken" and "metrics_port" not in server.model_fields_set:
        return replace(check, verdict="warning", detail=f"{check.detail}; metrics will not be served")
    return check

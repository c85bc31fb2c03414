"""The collector that traces are sent to."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from orchestrator.app.doctor.report import PROBE_TIMEOUT_S, Check


def traces(endpoint: str) -> Check:
    """Whether it can be reached; the service runs without it."""
    place = urlsplit(endpoint)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((place.hostname or "", port), PROBE_TIMEOUT_S).close()
    except OSError as error:
        mend = "Start the collector, correct telemetry.otlp_endpoint, or set telemetry.enabled to false."
        return Check("traces", "warning", f"{endpoint} cannot be reached: {error}", mend)
    return Check("traces", "ok", f"sent to {endpoint}")

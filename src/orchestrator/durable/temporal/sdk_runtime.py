"""Where the SDK's core runs, with its threads."""

from __future__ import annotations

from functools import cache

from temporalio.runtime import Runtime, TelemetryConfig


@cache
def quiet_runtime() -> Runtime:
    """One for all engines of the process. The core would write its warnings to our standard output.

    What they tell is told by ours: which part is away, and why a run is stuck.
    """
    return Runtime(telemetry=TelemetryConfig(logging=None))

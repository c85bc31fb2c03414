"""The engine on a Temporal cluster."""

from __future__ import annotations

from orchestrator.durable.temporal.engine import TemporalEngine
from orchestrator.durable.temporal.unsupported import NotYetOnTemporalError

__all__ = ["NotYetOnTemporalError", "TemporalEngine"]

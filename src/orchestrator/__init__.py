"""Orchestrator: durable AI-agent workflows, written once as plain async functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.durable.attempt import StepInfo, progress, step_info
from orchestrator.durable.context import Context
from orchestrator.durable.errors import StepError
from orchestrator.durable.steps import Retry, step
from orchestrator.durable.workflows import workflow

if TYPE_CHECKING:
    from orchestrator.durable.embedded import EmbeddedEngine
    from orchestrator.durable.temporal import TemporalEngine

__all__ = [
    "Context",
    "EmbeddedEngine",
    "Retry",
    "StepError",
    "StepInfo",
    "TemporalEngine",
    "progress",
    "step",
    "step_info",
    "workflow",
]


def __getattr__(name: str) -> object:
    """Load an engine when it is first asked for, so that importing the API costs little."""
    if name == "EmbeddedEngine":
        from orchestrator.durable.embedded import EmbeddedEngine

        return EmbeddedEngine
    if name == "TemporalEngine":
        from orchestrator.durable.temporal import TemporalEngine

        return TemporalEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

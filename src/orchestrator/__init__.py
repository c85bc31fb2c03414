"""Orchestrator: durable AI-agent workflows, written once as plain async functions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.durable.attempt import StepInfo, progress, step_info
    from orchestrator.durable.codec import Encryption
    from orchestrator.durable.context import Context
    from orchestrator.durable.embedded import EmbeddedEngine
    from orchestrator.durable.errors import StepError
    from orchestrator.durable.guard import deterministic
    from orchestrator.durable.limits import Limit
    from orchestrator.durable.steps import Retry, step
    from orchestrator.durable.temporal import TemporalEngine
    from orchestrator.durable.workflows import workflow

__all__ = [
    "Context",
    "EmbeddedEngine",
    "Encryption",
    "Limit",
    "Retry",
    "StepError",
    "StepInfo",
    "TemporalEngine",
    "deterministic",
    "progress",
    "step",
    "step_info",
    "workflow",
]

_HOMES = {
    "Context": "orchestrator.durable.context",
    "Encryption": "orchestrator.durable.codec",
    "EmbeddedEngine": "orchestrator.durable.embedded",
    "Limit": "orchestrator.durable.limits",
    "Retry": "orchestrator.durable.steps",
    "StepError": "orchestrator.durable.errors",
    "StepInfo": "orchestrator.durable.attempt",
    "TemporalEngine": "orchestrator.durable.temporal",
    "deterministic": "orchestrator.durable.guard",
    "progress": "orchestrator.durable.attempt",
    "step": "orchestrator.durable.steps",
    "step_info": "orchestrator.durable.attempt",
    "workflow": "orchestrator.durable.workflows",
}


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for, so that the command line starts at once."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found

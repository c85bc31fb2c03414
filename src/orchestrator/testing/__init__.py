"""What you need to test your workflows: time that you own, a model that says what you wrote, crashes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.testing.clock import BEGINNING, ManualClock
    from orchestrator.testing.crashes import CrashReport, crash_everywhere
    from orchestrator.testing.factories import EngineFactory, ModelFactory
    from orchestrator.testing.hanging import forever
    from orchestrator.testing.life import Signal
    from orchestrator.testing.model import (
        BreaksOff,
        Call,
        CutShort,
        Refusal,
        Reply,
        ScriptedModel,
        ScriptEndedError,
        Silence,
    )

__all__ = [
    "BEGINNING",
    "BreaksOff",
    "Call",
    "CrashReport",
    "CutShort",
    "EngineFactory",
    "ManualClock",
    "ModelFactory",
    "Refusal",
    "Reply",
    "ScriptEndedError",
    "ScriptedModel",
    "Signal",
    "Silence",
    "crash_everywhere",
    "forever",
]

_HOMES = {
    "BEGINNING": "orchestrator.testing.clock",
    "BreaksOff": "orchestrator.testing.model",
    "Call": "orchestrator.testing.model",
    "CrashReport": "orchestrator.testing.crashes",
    "CutShort": "orchestrator.testing.model",
    "EngineFactory": "orchestrator.testing.factories",
    "ManualClock": "orchestrator.testing.clock",
    "ModelFactory": "orchestrator.testing.factories",
    "Refusal": "orchestrator.testing.model",
    "Reply": "orchestrator.testing.model",
    "ScriptEndedError": "orchestrator.testing.model",
    "ScriptedModel": "orchestrator.testing.model",
    "Signal": "orchestrator.testing.life",
    "Silence": "orchestrator.testing.model",
    "crash_everywhere": "orchestrator.testing.crashes",
    "forever": "orchestrator.testing.hanging",
}


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for: pytest imports this package with every run, also unneeded."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    globals()[name] = found
    return found

"""Agents that are reached over HTTP, and what they said before (docs/agents.md).

``AgentClient`` makes one call, with all retries and limits. ``Signals`` puts a cache before it.
"""

from orchestrator.agents.remote.cache import CachedSignal, SignalCache
from orchestrator.agents.remote.client import AgentClient
from orchestrator.agents.remote.contract import (
    AgentError,
    AgentErrorCode,
    AgentReply,
    AgentRequest,
    Allowance,
)
from orchestrator.agents.remote.signal import Endpoint, Signal, Source
from orchestrator.agents.remote.signals import Signals

__all__ = [
    "AgentClient",
    "AgentError",
    "AgentErrorCode",
    "AgentReply",
    "AgentRequest",
    "Allowance",
    "CachedSignal",
    "Endpoint",
    "Signal",
    "SignalCache",
    "Signals",
    "Source",
]

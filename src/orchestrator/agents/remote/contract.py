"""What is asked of a remote agent, what it answers, and how a call of it may fail (docs/agents.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.core.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel, JsonValue

    from orchestrator.core.rates import Buckets, Rate

ATTEMPT_TIMEOUT_S = 15.0


class AgentErrorCode(StrEnum):
    """Why a call of an agent gave nothing."""

    TIMEOUT = "TIMEOUT"
    RATE_LIMIT = "RATE_LIMIT"
    BAD_SCHEMA = "BAD_SCHEMA"
    AGENT_ERROR = "AGENT_ERROR"


class AgentError(RetryableError):
    """The agent gave no answer of use.

    Message and code are ours: an agent's own words may quote what it was sent.
    """

    code: AgentErrorCode

    def __init__(self, code: AgentErrorCode, message: str, *, retry_after: float | None = None) -> None:
        """Take the code, a message for people, and the seconds until a later try may help, where known."""
        super().__init__(message, code=code, retry_after=retry_after)


class AgentAwayError(AgentError):
    """The agent was not reached, was too slow, or failed: worth another try, and counted by the breaker."""


class AgentBusyError(AgentError):
    """The agent asks to slow down: worth another try when it says so."""


class AgentLeftAloneError(AgentError):
    """The agent failed so often that it was not asked."""


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """One request to an agent. ``path`` is below the address of all agents, and begins with a slash.

    ``body`` is sent as JSON where there is one. ``shape``, where given, is what ``data`` must satisfy.
    One attempt takes ``timeout_s`` at most. ``user`` is whom it is for, whose limits count
    and whose it is what an agent keeps.

    Raises:
        ValueError: the path leads elsewhere.
    """

    agent: str
    path: str
    method: str = "GET"
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: JsonValue = None
    shape: type[BaseModel] | None = None
    timeout_s: float = ATTEMPT_TIMEOUT_S
    user: str = ""

    def __post_init__(self) -> None:
        """Refuse a path that names another host: the service token would go there."""
        if not self.path.startswith("/") or self.path.startswith(("//", "/\\")):
            raise ValueError(f"{self.path!r} is no path below the agents' address; it begins with one slash")


@dataclass(frozen=True, slots=True)
class AgentReply:
    """What the agent answered: JSON data, or that what is known under the ETag sent is still true (304)."""

    data: JsonValue
    etag: str | None = None
    not_modified: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """How often each agent may be called: a token bucket per agent, of one rate for all."""

    buckets: Buckets
    rate: Rate

    async def take(self, agent: str) -> float:
        """Take one call of ``agent``: 0.0 where it may be made now, else the seconds until one may be."""
        taken = await self.buckets.take(f"agent:{agent}", self.rate)
        return 0.0 if taken.allowed else taken.next_s

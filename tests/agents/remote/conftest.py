"""An agent, a clock, and a client between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.testing.clock import ManualClock
from support.scripted_agent import ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.agents.remote import AgentClient


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture
def agent(clock: ManualClock) -> ScriptedAgent:
    """An agent that answers as the test says."""
    return ScriptedAgent(clock)


@pytest.fixture
async def client(agent: ScriptedAgent) -> AsyncIterator[AgentClient]:
    """The real client of that agent."""
    talking = agent.client()
    yield talking
    await talking.aclose()

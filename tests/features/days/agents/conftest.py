"""Our agents, on a history that tests write down and a clock that they own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from orchestrator.agents.budget import Budget, Limits
from orchestrator.features.days.agents.service import AgentService
from orchestrator.features.days.agents.writer import Patience, Writer
from orchestrator.testing.clock import ManualClock
from support.learners import START, Learners, done
from support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from orchestrator.agents.model import Model

Agents = Callable[..., AgentService]


@pytest.fixture
def clock() -> ManualClock:
    """Three days after the learners began."""
    return ManualClock(START.timestamp() + 3 * 86_400)


@pytest.fixture
def learners() -> Learners:
    """Ada, who has done one day and noted what was hard."""
    return Learners.with_ada(done(0, 3, 0, "Struggled with backpropagation but got the basic concept"))


@pytest.fixture
def ledger() -> MemoryLedger:
    """What was spent."""
    return MemoryLedger()


@pytest.fixture
def agents(clock: ManualClock, learners: Learners, ledger: MemoryLedger) -> Agents:
    """Our agents: by rules, or with that model."""

    def made(
        model: Model | None = None, limits: Limits | None = None, *, research: bool = True
    ) -> AgentService:
        budget = Budget(ledger, limits or Limits(), clock)
        writer = None if model is None else Writer(model, budget, clock, Patience.within(30))
        return AgentService(learners, clock, writer, research=research)

    return made

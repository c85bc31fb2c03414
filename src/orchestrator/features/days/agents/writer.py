"""The model behind our agents: it words what the rules found, within a time limit and a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from uuid import NAMESPACE_OID, uuid5

import structlog

from orchestrator.agents.budget import Account
from orchestrator.agents.model import Prompt
from orchestrator.core.clock import utc
from orchestrator.core.errors import OrchestratorError, UnavailableError
from orchestrator.core.ids import new_id
from orchestrator.core.waiting import time_limit
from orchestrator.features.days.agents.etags import digest
from orchestrator.features.days.agents.wording import UselessError

if TYPE_CHECKING:
    from orchestrator.agents.budget import Budget
    from orchestrator.agents.model import Model
    from orchestrator.core.clock import Clock
    from orchestrator.features.days.agents.wording import SaidT, ShapeT, Wording

MOST_TOKENS = 8_000  # room for models that think before they answer
# Shares of the time for a whole run, which are over before its agents' (0.6) and its instructor's (0.9) end.
SIGNAL_SHARE, RESEARCH_SHARE, PLAN_SHARE = 0.4, 0.5, 0.25

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a model has for a signal, for research, and for a plan.

    Rules stand in for a signal and for a plan, so they must still be in time for those who wait; nothing
    stands in for research, which has all the time that there is.
    """

    signal_s: float
    research_s: float
    plan_s: float

    @classmethod
    def within(cls, limit_s: float) -> Self:
        """What fits into a run of so many seconds."""
        return cls(SIGNAL_SHARE * limit_s, RESEARCH_SHARE * limit_s, PLAN_SHARE * limit_s)


@dataclass(frozen=True, slots=True)
class Asking:
    """Whose question it is, about what, and how the call is known.

    ``key`` is the same on every retry of a call; ``if_none_match`` has the tags that the caller holds.
    """

    user: str
    topic: str
    key: str = ""
    if_none_match: str | None = None


class Writer:
    """A model on a budget: that of one learner's day, and that of everybody's."""

    def __init__(self, model: Model, budget: Budget, clock: Clock, patience: Patience) -> None:
        self.patience = patience
        self._model = model
        self._budget = budget
        self._clock = clock

    @property
    def generator(self) -> str:
        """The label for what it writes."""
        return self._model.generator

    def facts(self, wording: Wording[ShapeT, SaidT]) -> str:
        """The digest of what an answer depends on: what the model is told, and which model it is."""
        return digest({"system": wording.system, "data": dict(wording.data), "model": self.generator})

    async def ask_or(
        self, asking: Asking, wording: Wording[ShapeT, SaidT], rules: SaidT, patience_s: float
    ) -> SaidT:
        """In the model's words; in those of the rules, and marked so, where it has none."""
        try:
            return await self.ask(asking, wording, patience_s)
        except OrchestratorError as error:
            log.warning("rules stand in for the model", shape=wording.shape.__name__, code=error.code)
            return rules.model_copy(update={"fallback": error.code})

    async def ask(self, asking: Asking, wording: Wording[ShapeT, SaidT], patience_s: float) -> SaidT:
        """Ask the model, and make what the agent says of its answer.

        Raises:
            OrchestratorError: it gave nothing, nothing in time, or nothing of use.
        """
        prompt = Prompt(wording.system, wording.user, asking.key or new_id(), MOST_TOKENS)
        model = self._budget.metered(self._model, self._account(asking, prompt.idempotency_key))
        try:
            async with time_limit(self._clock, self._clock.time() + patience_s):
                answer = await model.structured(prompt, wording.shape)
        except TimeoutError:
            raise UnavailableError(
                f"The model did not answer within {patience_s:g} s.", code="model_slow"
            ) from None
        try:
            said = wording.apply(answer.value)
        except UselessError as error:
            raise UnavailableError(f"The model answered with {error}.", code="bad_schema") from None
        return said.model_copy(update={"generator": answer.generator})

    def _account(self, asking: Asking, key: str) -> Account:
        """A learner's day, which is what a session is to a budget here."""
        day = utc(self._clock.time()).date()
        return Account(asking.user, str(uuid5(NAMESPACE_OID, f"{day}/{asking.user}")), key, attempt=1)

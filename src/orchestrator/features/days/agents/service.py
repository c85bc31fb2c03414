"""Our agents at work: what each of them says, by rules, and worded by a model where there is one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from orchestrator.core.clock import utc
from orchestrator.features.days.agents import alex, clo, instructor, socratic, ta
from orchestrator.features.days.agents.etags import still_true, tag_of
from orchestrator.features.days.agents.history import local_date
from orchestrator.features.days.agents.signals import (
    AlexSignal,
    CloSignal,
    DailyPlan,
    Signal,
    SocraticSignal,
    TaSignal,
)
from orchestrator.features.days.agents.writer import Asking, Writer
from orchestrator.features.days.fallback import fallback_plan
from orchestrator.features.days.intent import Intent

if TYPE_CHECKING:
    from datetime import date

    from orchestrator.core.clock import Clock
    from orchestrator.features.days.agents.history import History
    from orchestrator.features.days.agents.requests import DailyRequest
    from orchestrator.features.days.agents.wording import ShapeT, Wording

SignalT = TypeVar("SignalT", bound=Signal)
USUAL_DAY_MIN = 60


@dataclass(frozen=True, slots=True)
class Told(Generic[SignalT]):
    """What an agent says, under its tag; None where what the caller holds is still true."""

    said: SignalT | None
    etag: str


class AgentService:
    """Our four agents and the instructor.

    ``writer`` is None where there is no model. There is no research without one, or where it is not wanted.
    """

    def __init__(
        self, history: History, clock: Clock, writer: Writer | None = None, *, research: bool = True
    ) -> None:
        self._history = history
        self._clock = clock
        self._writer = writer
        self._researcher = writer if research else None

    async def clo(self, asking: Asking, week: int, day: int) -> Told[CloSignal]:
        """The day's place in the curriculum."""
        intent = await self._intent(asking)
        rules = clo.signal(intent, week, day)
        return await self._told(asking, rules, clo.wording(intent, rules))

    async def ta(self, asking: Asking, week: int, day: int) -> Told[TaSignal]:
        """The day's practice, and what is due for review."""
        intent = await self._intent(asking)
        done = await self._history.days_done(asking.user, asking.topic)
        # Years of learning take a while to replay, and others wait for this loop.
        rules = await asyncio.to_thread(ta.signal, intent, week, day, done, self._today(intent))
        return await self._told(asking, rules, ta.wording(intent, week, day, rules))

    async def socratic(self, asking: Asking) -> Told[SocraticSignal]:
        """Questions, from what was done so far."""
        intent = await self._intent(asking)
        done = await self._history.days_done(asking.user, asking.topic)
        rules = socratic.signal(intent, done)
        return await self._told(asking, rules, socratic.wording(intent, done, rules))

    async def alex(self, asking: Asking) -> Told[AlexSignal]:
        """Research where it is on, else that it is off.

        Raises:
            OrchestratorError: it is on, and the model gave nothing.
        """
        writer = self._researcher
        if writer is None:
            return _known(asking, alex.OFF)
        wording = alex.wording(await self._intent(asking))
        facts = writer.facts(wording)
        if held := still_true(asking.if_none_match, facts=facts):
            return Told(None, held)
        said = await writer.ask(asking, wording, writer.patience.research_s)
        return Told(said, tag_of(said, facts))

    async def daily(self, request: DailyRequest, key: str = "") -> DailyPlan:
        """The plan of a day, from the signals that came with the request."""
        intent, week, day = request.intent, request.week, request.day
        signals, ignored = instructor.read(request.signals)
        rules = fallback_plan(intent, week, day, signals).model_copy(update={"ignored_signals": ignored})
        if self._writer is None:
            return rules
        wording = instructor.wording(intent, week, day, signals, rules, self._writer.generator)
        asking = Asking(request.user_id, request.topic, key)
        return await self._writer.ask_or(asking, wording, rules, self._writer.patience.plan_s)

    async def _told(self, asking: Asking, rules: SignalT, wording: Wording[ShapeT, SignalT]) -> Told[SignalT]:
        if self._writer is None:
            return _known(asking, rules)
        facts = self._writer.facts(wording)
        if held := still_true(asking.if_none_match, facts=facts):
            return Told(None, held)
        said = await self._writer.ask_or(asking, wording, rules, self._writer.patience.signal_s)
        # What rules wrote for want of the model is not what comes of these facts: the model is asked again.
        return _known(asking, said) if said.fallback else Told(said, tag_of(said, facts))

    async def _intent(self, asking: Asking) -> Intent:
        """What the learner wants; the middle of everything for one whom we do not know."""
        known = await self._history.intent(asking.user, asking.topic)
        return known or Intent(asking.topic, "informed", f"Understand {asking.topic}", USUAL_DAY_MIN)

    def _today(self, intent: Intent) -> date:
        return local_date(utc(self._clock.time()), intent.user_tz)


def _known(asking: Asking, said: SignalT) -> Told[SignalT]:
    """What was said without a model: its tag is its content alone."""
    tag = tag_of(said)
    return Told(None if still_true(asking.if_none_match, tag=tag) else said, tag)

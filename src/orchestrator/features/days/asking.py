"""Asking the agents for a day: four signals, and the instructor's plan, by the deadlines of the day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
from pydantic import BaseModel, ValidationError

from orchestrator.agents.remote import AgentError, AgentErrorCode, AgentRequest, Endpoint
from orchestrator.features.days.agents.composition import Signals as OwnSignals
from orchestrator.features.days.agents.signals import AlexSignal, CloSignal, SocraticSignal, TaSignal
from orchestrator.features.days.day import (
    AGENTS,
    ALEX,
    CLO,
    FALLBACK,
    FRESH_FOR_S,
    INSTRUCTOR,
    SOCRATIC,
    TA,
    Seen,
    Written,
)
from orchestrator.features.days.fallback import fallback_plan
from orchestrator.features.days.intent import Intent
from orchestrator.features.days.plan import BadPlanError, read_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from orchestrator.agents.remote import AgentClient, Signals
    from orchestrator.features.days.day import DayRequest, Question

PROXY: Final = "/functions/v1/agent-proxy"
INSTRUCTOR_TIMEOUT_S: Final = 30.0
# What these two say is about one day; what the others say is about the topic.
ASKED_BY_DAY: Final = frozenset({CLO, TA})
ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    agent: Endpoint(f"{PROXY}/{agent}/signals", FRESH_FOR_S[agent]) for agent in AGENTS
}
_OWN_SHAPES: Final[Mapping[str, type[BaseModel]]] = {
    CLO: CloSignal,
    ALEX: AlexSignal,
    TA: TaSignal,
    SOCRATIC: SocraticSignal,
}

log = structlog.get_logger()


class AskedAgents:
    """The four agents and the instructor, wherever they are."""

    def __init__(self, client: AgentClient, signals: Signals) -> None:
        self._client = client
        self._signals = signals

    async def look_up(self, question: Question, key: str) -> Seen:
        """What an agent says, from the cache while it is fresh; ``key`` is the same on every try."""
        day = question.day
        query: dict[str, str | int] = {"user_id": day.owner, "topic": day.topic}
        if question.agent in ASKED_BY_DAY:
            query |= {"week": day.week, "day": day.day}
        signal = await self._signals.get(
            question.agent,
            owner=day.owner,
            query=query,
            deadline=day.signals_by,
            force=day.force_refresh,
            idempotency_key=key,
            given=_given(question),
        )
        return Seen(
            agent=signal.agent,
            available=signal.available,
            fresh=signal.fresh,
            hit=signal.hit,
            miss=signal.miss,
            data=signal.data,
            updated_at=signal.updated_at,
            error_code=signal.error_code,
        )

    async def write(self, day: DayRequest, seen: Sequence[Seen], key: str) -> Written:
        """The instructor's plan; where there is none that fits the day, the plan by rules."""
        request = AgentRequest(
            INSTRUCTOR,
            f"{PROXY}/{INSTRUCTOR}/daily",
            method="POST",
            body=_lesson_of(day, seen),
            timeout_s=INSTRUCTOR_TIMEOUT_S,
            user=day.owner,
        )
        try:
            reply = await self._client.call(request, idempotency_key=key, deadline=day.plan_by)
            return Written(plan=read_plan(reply.data, day.time_per_day_min))
        except AgentError as error:
            return without_instructor(day, seen, error.code)
        except BadPlanError as error:
            log.warning("plan refused", agent=INSTRUCTOR, code=AgentErrorCode.BAD_SCHEMA, reason=str(error))
            return without_instructor(day, seen, AgentErrorCode.BAD_SCHEMA)


def without_instructor(day: DayRequest, seen: Sequence[Seen], code: str) -> Written:
    """The plan by rules from the signals that there are; ``code`` is why the instructor wrote none."""
    intent = Intent(day.topic, day.depth, day.end_goal, day.time_per_day_min, day.user_tz)
    plan = fallback_plan(intent, day.week, day.day, _own(seen))
    return Written(
        plan=read_plan(plan.model_dump(mode="json"), day.time_per_day_min), by=FALLBACK, error_code=code
    )


def _given(question: Question) -> tuple[str | int, ...]:
    """What of the intent the answer depends on, so that a changed one is not answered from the cache."""
    day = question.day
    wanted = (day.depth, day.end_goal)
    return (*wanted, day.time_per_day_min) if question.agent == TA else wanted


def unseen(code: str) -> list[Seen]:
    """All four agents having said nothing."""
    return [Seen(agent=agent, available=False, fresh=False, error_code=code) for agent in AGENTS]


def _own(seen: Sequence[Seen]) -> OwnSignals:
    """Those signals that are as our own agents write them; of others the rules make nothing."""
    read: dict[str, Any] = {}
    for each in seen:
        try:
            read[each.agent] = _OWN_SHAPES[each.agent].model_validate(each.data) if each.available else None
        except ValidationError:
            read[each.agent] = None
    return OwnSignals(**read)


def _lesson_of(day: DayRequest, seen: Sequence[Seen]) -> dict[str, JsonValue]:
    """What the instructor is told. Who asks is said by the service's token, never by the user's."""
    return {
        "USER_ID": day.owner,
        "USER_TZ": day.user_tz,
        "TOPIC": day.topic,
        "DEPTH": day.depth,
        "END_GOAL": day.end_goal,
        "TIME_PER_DAY_MIN": day.time_per_day_min,
        "WEEK": day.week,
        "DAY": day.day,
        "CLARIFIER_TOPIC_SPEC": {"track_label": day.track_label, "meta": day.meta},
        "SIGNALS": {each.agent.upper(): each.data for each in seen},
        "SIGNAL_QUALITY": {each.agent: {"available": each.available, "fresh": each.fresh} for each in seen},
        "CACHE_STATS": {
            "hits": sum(each.hit for each in seen),
            "misses": sum(each.miss for each in seen),
        },
    }

"""Learners who do what document 000's flow does, one call after the other, and look at each answer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import jwt
from pydantic import BaseModel, ValidationError

from benchmarks.days.wire import Request
from orchestrator.features.days.schemas import DayCompleted, DayPlanned, IntentSynced, LearningStatus

if TYPE_CHECKING:
    from benchmarks.days.wire import Connections

SECRET: Final = "the-secret-of-a-benchmark-which-signs-nothing-else"  # noqa: S105
TOKEN_LASTS_S: Final = 7_200
FUNCTIONS: Final = "/functions/v1/orchestrator"
DAYS_PER_WEEK: Final = 5
AGENTS: Final = 4
MINUTES: Final = 60
INTENT_SYNC, DAY_RUN, DAY_DONE, STATUS = FLOW = ("intent.sync", "day.run", "day.done", "status")
SHAPES: Final[dict[str, type[BaseModel]]] = {
    INTENT_SYNC: IntentSynced,
    DAY_RUN: DayPlanned,
    DAY_DONE: DayCompleted,
    STATUS: LearningStatus,
}


class WrongAnswerError(Exception):
    """The service answered otherwise than it should have."""


@dataclass(slots=True)
class Signals:
    """How the agents' signals of some plans came about: `missing` ones are neither hit nor miss."""

    hits: int = 0
    misses: int = 0
    missing: int = 0
    degraded_plans: int = 0


@dataclass(slots=True)
class Learner:
    """One of many, who learns a topic for a week of five days and then takes up the next.

    A call that is due goes out whatever became of the one before: a day is done whose plan came last.
    """

    number: int
    token: str = field(init=False)
    turn: int = field(init=False)
    day: int = field(init=False)
    topic: int = 0
    session_id: str = ""

    def __post_init__(self) -> None:
        """Begin somewhere in the flow and in the week, so that at any moment all of it is going on."""
        self.turn = self.number % len(FLOW)
        self.day = 1 + self.number // len(FLOW) % DAYS_PER_WEEK
        self.token = jwt.encode(
            {"sub": f"learner-{self.number}", "aud": "authenticated", "exp": time.time() + TOKEN_LASTS_S},
            SECRET,
        )

    async def prepare(self, connections: Connections) -> None:
        """Have an intent and the plan of a day, as somebody has who comes back."""
        await self._call(connections, INTENT_SYNC)
        await self._run(connections, Signals())

    async def go_on(self, connections: Connections, signals: Signals) -> str:
        """Make the next call of the flow; its name.

        Raises:
            WrongAnswerError: status or shape of the answer are not as they should be.
            OSError: there is no answer.
        """
        name = FLOW[self.turn % len(FLOW)]
        self.turn += 1
        if name == INTENT_SYNC:
            self._next_day()
        if name == DAY_RUN:
            await self._run(connections, signals)
        else:
            await self._call(connections, name)
        return name

    async def repeat(self, connections: Connections, signals: Signals) -> None:
        """Ask for the plan of the same day once more."""
        await self._run(connections, signals)

    def _next_day(self) -> None:
        self.day += 1
        if self.day > DAYS_PER_WEEK:
            self.day, self.topic = 1, self.topic + 1

    async def _run(self, connections: Connections, signals: Signals) -> None:
        planned = await self._call(connections, DAY_RUN)
        if isinstance(planned, DayPlanned):
            self.session_id = planned.session_id
            signals.hits += planned.cache_hits
            signals.misses += planned.cache_misses
            signals.missing += AGENTS - planned.cache_hits - planned.cache_misses
            signals.degraded_plans += planned.degraded_mode

    async def _call(self, connections: Connections, name: str) -> BaseModel:
        status, body = await connections.send(self._request(name))
        if status != HTTPStatus.OK:
            raise WrongAnswerError(f"{name}: {status} {_reason(body)}")
        try:
            return SHAPES[name].model_validate_json(body)
        except ValidationError as error:
            raise WrongAnswerError(f"{name}: {error}") from error

    def _request(self, name: str) -> Request:
        bodies: dict[str, object] = {
            INTENT_SYNC: {
                "topic": f"Topic {self.topic} of learner {self.number}",
                "depth": "informed",
                "end_goal": "Build production ML models",
                "time_per_day_min": MINUTES,
                "user_tz": "America/New_York",
            },
            DAY_RUN: {"week": 1, "day": self.day},
            DAY_DONE: {
                "session_id": self.session_id,
                "completion_time_min": 45,
                "confidence": 7,
                "notes": "Struggled with backpropagation but got the basic concept",
            },
        }
        method = "GET" if name == STATUS else "POST"
        return Request(method, f"{FUNCTIONS}/{name}", self.token, bodies.get(name))


def _reason(body: bytes) -> str:
    """What a refusal says, without what is different each time."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return repr(body[:200])

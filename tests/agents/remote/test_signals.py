"""Signals: from the cache while they are fresh, from the agent otherwise, and always by the deadline."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from orchestrator.agents.remote import AgentErrorCode, CachedSignal, Endpoint, Signal, Signals, Source
from orchestrator.agents.remote import signals as signals_module
from orchestrator.agents.remote.signals import MOST_LATE
from orchestrator.core.errors import UnavailableError
from orchestrator.testing.clock import BEGINNING
from support.memory_signals import MemorySignals
from support.scripted_agent import (
    ScriptedAgent,
    answer,
    broken,
    finished,
    held,
    never,
    ok,
    settled,
    status,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pydantic import JsonValue

    from orchestrator.agents.remote import AgentClient
    from orchestrator.testing.clock import ManualClock
    from support.scripted_agent import Answering

HOUR_S = 3_600.0


class Level(BaseModel):
    """What clo says."""

    level: int


ENDPOINTS = {
    "clo": Endpoint("/clo/signals", 168 * HOUR_S),
    "ta": Endpoint("/ta/signals", 72 * HOUR_S, shape=Level),
}


class Learner:
    """Asks for signals by a deadline of twelve seconds."""

    def __init__(self, signals: Signals, clock: ManualClock) -> None:
        self._signals = signals
        self._clock = clock

    async def gets(self, agent: str = "clo", *, force: bool = False, within_s: float = 12) -> Signal:
        """The signal that comes of it."""
        return await finished(self.asks(agent, force=force, within_s=within_s), self._clock)

    async def asks(
        self,
        agent: str = "clo",
        *,
        owner: str = "ada",
        force: bool = False,
        within_s: float = 12,
        topic: str = "Tides",
        given: Sequence[str | int] = (),
    ) -> Signal:
        """The same, while the test moves the time."""
        return await self._signals.get(
            agent,
            owner=owner,
            query={"topic": topic},
            deadline=self._clock.time() + within_s,
            force=force,
            idempotency_key="run-1/clo",
            given=given,
        )


@pytest.fixture
def cache() -> MemorySignals:
    """Where signals are kept."""
    return MemorySignals()


@pytest.fixture
async def signals(agent: ScriptedAgent, client: AgentClient, cache: MemorySignals) -> AsyncIterator[Signals]:
    """Signals of that agent, under all names."""
    asking = Signals(client, cache, ENDPOINTS, clock=agent.clock, metrics=agent.metrics)
    yield asking
    await asking.close()


@pytest.fixture
def learner(signals: Signals, clock: ManualClock) -> Learner:
    """Who asks."""
    return Learner(signals, clock)


def outcome(signal: Signal) -> tuple[object, bool, bool, bool, bool]:
    """Data, available, fresh, hit, miss."""
    return (signal.data, signal.available, signal.fresh, signal.hit, signal.miss)


async def test_what_is_fetched_anew_is_a_miss(agent: ScriptedAgent, learner: Learner) -> None:
    """The agent is asked under the caller's key, and dated now."""
    agent.script = [ok("a")]
    signal = await learner.gets()
    assert signal == Signal("clo", Source.AGENT, "a", fresh=True, updated_at=BEGINNING)
    assert outcome(signal) == ("a", True, True, False, True)
    assert agent.asked[0].headers["x-idempotency-key"] == "run-1/clo"
    assert agent.asked[0].url.params["topic"] == "Tides"


@pytest.mark.parametrize(("agent_name", "hours"), [("clo", 168), ("ta", 72)])
async def test_within_its_window_a_signal_is_a_hit_without_a_call(
    agent: ScriptedAgent, learner: Learner, agent_name: str, hours: int
) -> None:
    """Each agent has its own; at its end the agent is asked again."""
    agent.respond = ok({"level": 1})
    await learner.gets(agent_name)
    await agent.clock.advance(hours=hours, seconds=-1)
    assert outcome(await learner.gets(agent_name)) == ({"level": 1}, True, True, True, False)
    assert len(agent.asked) == 1
    await agent.clock.advance(seconds=1)
    assert (await learner.gets(agent_name)).miss
    assert len(agent.asked) == 2


async def test_a_stale_signal_that_the_agent_confirms_is_a_hit_and_fresh_again(
    agent: ScriptedAgent, learner: Learner, cache: MemorySignals
) -> None:
    """By 304 to the ETag that came with it, for another whole window; it was fetched when it was."""
    agent.script = [ok("a", etag='"v1"'), status(304)]
    await learner.gets()
    await agent.clock.advance(hours=200)
    signal = await learner.gets()
    assert outcome(signal) == ("a", True, True, True, False)
    assert (signal.source, signal.updated_at) == (Source.CONFIRMED, agent.clock.time())
    assert agent.asked[1].headers["if-none-match"] == '"v1"'
    await agent.clock.advance(hours=167)
    assert (await learner.gets()).source is Source.CACHE
    (kept,) = cache.kept.values()
    assert kept == CachedSignal("a", '"v1"', BEGINNING, BEGINNING + 200 * HOUR_S)


async def test_an_outdated_signal_is_asked_for_again_within_its_window(
    agent: ScriptedAgent, learner: Learner, cache: MemorySignals
) -> None:
    """Something happened on which it may depend: confirmed it is fresh again, without an answer it is not."""
    agent.script = [ok("a", etag='"v1"'), status(304), status(400)]
    await learner.gets()
    [(place, kept)] = cache.kept.items()
    cache.kept[place] = replace(kept, outdated=True)
    assert outcome(await learner.gets()) == ("a", True, True, True, False)
    assert (await learner.gets()).source is Source.CACHE
    cache.kept[place] = replace(kept, outdated=True)
    assert outcome(await learner.gets()) == ("a", True, False, True, False)


async def test_under_other_circumstances_it_is_another_question(
    agent: ScriptedAgent, learner: Learner
) -> None:
    """Such as another depth, which is not in the query; each has an answer of its own."""
    agent.script = [ok("a"), ok("b")]
    said = [(await learner.asks(given=given)).data for given in (("deep", 60), ("deep", 30), ("deep", 60))]
    assert said == ["a", "b", "a"]
    assert agent.asked[0].url == agent.asked[1].url


async def test_a_stale_signal_that_changed_is_a_miss(agent: ScriptedAgent, learner: Learner) -> None:
    """The new one takes its place."""
    agent.script = [ok("a", etag='"v1"'), ok("b", etag='"v2"')]
    await learner.gets()
    await agent.clock.advance(hours=200)
    assert outcome(await learner.gets()) == ("b", True, True, False, True)
    assert outcome(await learner.gets()) == ("b", True, True, True, False)


@pytest.mark.parametrize(
    ("failing", "code"),
    [
        (broken(), AgentErrorCode.AGENT_ERROR),
        (status(500), AgentErrorCode.AGENT_ERROR),
        (never(), AgentErrorCode.TIMEOUT),
        (status(429, retry_after="60"), AgentErrorCode.RATE_LIMIT),
        (answer(b"no JSON"), AgentErrorCode.BAD_SCHEMA),
    ],
    ids=["not there", "500", "silent", "429", "no JSON"],
)
async def test_the_cache_stands_in_for_an_agent_that_fails(
    agent: ScriptedAgent, learner: Learner, failing: Answering, code: AgentErrorCode
) -> None:
    """A stale signal is served from the cache, so it is a hit, but not fresh; and the reason is told."""
    agent.script = [ok("a")]
    await learner.gets()
    await agent.clock.advance(hours=200)
    agent.respond = failing
    signal = await learner.gets()
    assert outcome(signal) == ("a", True, False, True, False)
    assert (signal.error_code, signal.updated_at) == (code, BEGINNING)


async def test_without_anything_kept_the_signal_is_missing(agent: ScriptedAgent, learner: Learner) -> None:
    """Neither a hit nor a miss."""
    agent.respond = broken()
    signal = await learner.gets()
    assert signal == Signal("clo", Source.MISSING, error_code=AgentErrorCode.AGENT_ERROR)
    assert outcome(signal) == (None, False, False, False, False)


async def test_data_of_another_shape_are_not_kept(
    agent: ScriptedAgent, learner: Learner, cache: MemorySignals
) -> None:
    """Or they would be served for a week."""
    agent.script = [ok({"level": "high"})]
    assert (await learner.gets("ta")).error_code is AgentErrorCode.BAD_SCHEMA
    assert cache.kept == {}


async def test_force_goes_past_the_cache(agent: ScriptedAgent, learner: Learner) -> None:
    """A fresh signal is fetched all the same, without an ETag; and then kept."""
    agent.script = [ok("a", etag='"v1"'), ok("b")]
    await learner.gets()
    assert outcome(await learner.gets(force=True)) == ("b", True, True, False, True)
    assert "if-none-match" not in agent.asked[1].headers
    assert (await learner.gets()).data == "b"


async def test_force_in_vain_gets_what_was_kept(agent: ScriptedAgent, learner: Learner) -> None:
    """It is as fresh as it was."""
    agent.script = [ok("a"), answer(b"no JSON")]
    await learner.gets()
    signal = await learner.gets(force=True)
    assert outcome(signal) == ("a", True, True, True, False)
    assert signal.error_code is AgentErrorCode.BAD_SCHEMA


async def test_a_clock_that_was_set_back_keeps_nothing_fresh_for_ever(
    agent: ScriptedAgent, learner: Learner
) -> None:
    """A signal from the future is asked for again once it is as far off as its window is long."""
    await learner.gets()
    agent.clock.jump(-167 * HOUR_S)
    assert (await learner.gets()).source is Source.CACHE
    agent.clock.jump(-HOUR_S)
    assert (await learner.gets()).source is Source.AGENT


async def test_late_answers_are_kept_for_the_next_time(agent: ScriptedAgent, learner: Learner) -> None:
    """Who asked has what there was by the deadline; the next has the answer without a call."""
    gate = asyncio.Event()
    agent.respond = held(gate, ok("late"))
    signal = await learner.gets(within_s=12)
    assert signal == Signal("clo", Source.MISSING, error_code=AgentErrorCode.TIMEOUT)
    assert agent.clock.time() == BEGINNING + 12
    await agent.clock.advance(seconds=2)
    gate.set()
    await settled()
    assert outcome(await learner.gets()) == ("late", True, True, True, False)
    assert len(agent.asked) == 1


async def test_a_stale_signal_is_served_at_the_deadline(agent: ScriptedAgent, learner: Learner) -> None:
    """While the agent takes its time."""
    agent.script = [ok("a"), never()]
    await learner.gets()
    await agent.clock.advance(hours=200)
    began = agent.clock.time()
    signal = await learner.gets(within_s=12)
    assert outcome(signal) == ("a", True, False, True, False)
    assert signal.error_code is AgentErrorCode.TIMEOUT
    assert agent.clock.time() == began + 12


async def test_a_late_call_ends_with_its_attempt(agent: ScriptedAgent, learner: Learner) -> None:
    """Nobody asks a silent agent again for someone who has gone."""
    agent.respond = never()
    await learner.gets(within_s=12)
    for _ in range(30):
        await agent.clock.advance(seconds=1)
        await settled()
    assert agent.times == [0]
    assert agent.counted("orchestrator_agent_timeouts_total", agent="clo") == 1


async def test_nobody_waits_for_a_try_that_comes_after_the_deadline(
    agent: ScriptedAgent, learner: Learner
) -> None:
    """What the cache has is served at once."""
    agent.respond = status(429, retry_after="13")
    assert (await learner.gets()).error_code is AgentErrorCode.RATE_LIMIT
    assert agent.clock.time() == BEGINNING


async def test_who_goes_away_leaves_the_answer_behind(agent: ScriptedAgent, learner: Learner) -> None:
    """A caller that is cancelled is like one whose deadline passed."""
    gate = asyncio.Event()
    agent.respond = held(gate, ok("late"))
    asking = asyncio.ensure_future(learner.asks())
    await settled()
    asking.cancel()
    gate.set()
    await settled()
    assert asking.cancelled()
    assert (await learner.gets()).data == "late"
    assert len(agent.asked) == 1


async def test_the_same_question_at_the_same_time_is_one_call(agent: ScriptedAgent, learner: Learner) -> None:
    """All get its answer, each by its own deadline."""
    gate = asyncio.Event()
    agent.respond = held(gate, ok("a"))
    asking = [asyncio.ensure_future(learner.asks()) for _ in range(3)]
    hasty = asyncio.ensure_future(learner.asks(within_s=1))
    await settled()
    await agent.clock.advance(seconds=1)
    assert (await hasty).error_code is AgentErrorCode.TIMEOUT
    gate.set()
    assert {(await one).data for one in asking} == {"a"}
    assert len(agent.asked) == 1


async def test_other_questions_are_other_calls(agent: ScriptedAgent, learner: Learner) -> None:
    """Of another owner, another agent, another topic, or one that goes past the cache."""
    gate = asyncio.Event()
    agent.respond = held(gate, ok({"level": 1}))
    asking = [
        learner.asks(),
        learner.asks(owner="bob"),
        learner.asks("ta"),
        learner.asks(topic="Winds"),
        learner.asks(force=True),
    ]
    waiting = asyncio.gather(*asking)
    await settled()
    assert len(agent.asked) == 5
    gate.set()
    await waiting


async def test_only_so_many_late_calls_go_on(agent: ScriptedAgent, learner: Learner) -> None:
    """Those that come after end with who asked."""
    agent.respond = never()
    many = asyncio.gather(*(learner.asks(owner=f"user-{n}", within_s=1) for n in range(MOST_LATE + 3)))
    await settled()
    await agent.clock.advance(seconds=1)
    assert {signal.error_code for signal in await many} == {AgentErrorCode.TIMEOUT}
    await settled()
    cancelled = agent.counted("orchestrator_agent_calls_total", agent="clo", outcome="cancelled")
    assert cancelled == 3


async def test_what_was_not_let_go_on_can_be_asked_again_at_once(
    agent: ScriptedAgent, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is another call: nobody joins one that is ending."""
    monkeypatch.setattr(signals_module, "MOST_LATE", 0)
    agent.script = [never(), ok("again")]

    async def asks_twice() -> list[JsonValue]:
        return [(await learner.asks(within_s=1)).data, (await learner.asks()).data]

    assert await finished(asks_twice(), agent.clock) == [None, "again"]


async def test_closing_ends_what_is_under_way(
    agent: ScriptedAgent, signals: Signals, learner: Learner
) -> None:
    """Who waits gets what there is."""
    agent.respond = never()
    asking = asyncio.ensure_future(learner.asks())
    await settled()
    await signals.close()
    assert (await asking).error_code is AgentErrorCode.TIMEOUT
    assert len(asyncio.all_tasks()) == 1  # this one


async def test_a_cache_that_is_away_costs_calls_not_signals(
    agent: ScriptedAgent, learner: Learner, cache: MemorySignals
) -> None:
    """As if it were empty."""
    cache.reading = cache.writing = UnavailableError("away")
    agent.script = [ok("a"), ok("b")]
    assert [(await learner.gets()).data for _ in range(2)] == ["a", "b"]


async def test_a_mistake_in_late_work_is_logged(
    agent: ScriptedAgent, learner: Learner, cache: MemorySignals
) -> None:
    """There is nobody left to be told; who still waits is told."""
    cache.writing = RuntimeError("a mistake")
    gate = asyncio.Event()
    agent.respond = held(gate, ok("a"))
    await learner.gets()
    with capture_logs() as lines:
        gate.set()
        await settled()
    assert [line["event"] for line in lines] == ["late signal lost"]
    with pytest.raises(RuntimeError, match="a mistake"):
        await learner.gets()


async def test_where_signals_came_from_is_counted(agent: ScriptedAgent, learner: Learner) -> None:
    """By agent: the hit rate is cache and confirmed, of all that was available."""
    agent.script = [ok("a", etag='"v1"'), status(304), answer(b"no")]
    await learner.gets()
    await learner.gets()
    await agent.clock.advance(hours=200)
    await learner.gets()
    await learner.gets("ta")
    name = "orchestrator_agent_signals_total"
    assert [agent.counted(name, agent="clo", source=source) for source in Source] == [1, 1, 1, 0]
    assert agent.counted(name, agent="ta", source="missing") == 1

"""All agents on a loopback port, each well or ill as a test or a benchmark wants it.

In a test: ``with fake_agents() as agents``, then ``agents.address``, ``agents.manners["ta"] = DOWN`` and
``agents.asked``. As a process of its own: ``python -m support.fake_agents PORT --delay-ms 100 ta=down
alex=slow socratic=flapping``, which runs until it is ended; ``GET /asked`` counts what each agent was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import socket
import threading
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import uvloop
from pydantic_core import from_json, to_json

from support.plain_http import Said, serving
from support.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import JsonValue

    from support.plain_http import Asked

INSTRUCTOR: Final = "instructor"
BELOW: Final = "/functions/v1/agent-proxy/"
REQUIRED_HEADERS: Final = ("authorization", "x-idempotency-key")
LOOK_AGAIN_S: Final = 0.01
SLOW_S: Final = 60.0  # longer than anybody waits for an agent


@dataclass(frozen=True, slots=True)
class Manner:
    """How an agent answers: after ``delay_s``, never when ``down``, every other time when ``flapping``."""

    delay_s: float = 0.0
    down: bool = False
    flapping: bool = False


STEADY: Final = Manner()
SLOW: Final = Manner(delay_s=SLOW_S)
DOWN: Final = Manner(down=True)
FLAPPING: Final = Manner(flapping=True)
BY_NAME: Final = {"steady": STEADY, "slow": SLOW, "down": DOWN, "flapping": FLAPPING}


def signal(agent: str, week: int, day: int, topic: str) -> JsonValue:
    """What that agent says, always the same to the same question."""
    said: dict[str, JsonValue] = {
        "clo": {
            "week": week,
            "day": day,
            "title": f"{topic}, part {day}",
            "focus": f"What {topic} is about",
            "standard": "Explain it to a friend.",
            "outcomes": [f"Name the parts of {topic}"],
        },
        "ta": {"reviews": [], "practice": [{"task": f"Work through an example of {topic}", "minutes": 20}]},
        "socratic": {"questions": [{"question": f"Why does {topic} matter?", "why": "general"}]},
        "alex": {"research": "on", "summary": f"{topic} in short", "look_up": [topic]},
    }
    return said[agent]


def plan(topic: str, minutes: int) -> JsonValue:
    """What the instructor says."""
    step = f"Read about {topic} ({minutes} min)"
    return {
        "plan_md": f"# {topic}\n\n1. {step}\n",
        "plan_json": {"title": topic, "description": f"A day of {topic}", "steps": [step]},
    }


@dataclass
class FakeAgents:
    """All agents; ``manners`` and ``held`` may be changed at any time, from any thread.

    Those who are ``held`` take requests, and answer once they are held no longer.
    """

    manners: dict[str, Manner] = field(default_factory=dict)
    usual: Manner = STEADY
    address: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    keys: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unchanged: Counter[str] = field(default_factory=Counter)
    held: frozenset[str] = frozenset()

    def hear(self, asked: Asked, say: Callable[[Said], None]) -> None:
        """Say the answer once the agent's time for it has passed."""
        agent, _, what = asked.path.removeprefix(BELOW).partition("/")
        if asked.path == "/asked":
            say(_json({"asked": self.asked, "unchanged": self.unchanged}))
        elif what == ("daily" if agent == INSTRUCTOR else "signals"):
            self.asked[agent] += 1
            manner = self.manners.get(agent, self.usual)
            fails = manner.down or (manner.flapping and self.asked[agent] % 2 == 0)
            answer = partial(self._answer, agent, asked, fails=fails)
            asyncio.get_running_loop().call_later(
                manner.delay_s, self._say_unless_held, agent, lambda: say(answer())
            )
        else:
            say(_no(HTTPStatus.NOT_FOUND, "there is no such agent"))

    def _say_unless_held(self, agent: str, say: Callable[[], None]) -> None:
        if agent in self.held:
            asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._say_unless_held, agent, say)
        else:
            say()

    def _answer(self, agent: str, asked: Asked, *, fails: bool) -> Said:
        if any(name not in asked.headers for name in REQUIRED_HEADERS):
            return _no(HTTPStatus.UNAUTHORIZED, f"{' and '.join(REQUIRED_HEADERS)} are needed")
        self.keys[agent].append(asked.headers["x-idempotency-key"])
        if fails:
            return _no(HTTPStatus.SERVICE_UNAVAILABLE, "out of order")
        return _daily(asked) if agent == INSTRUCTOR else self._signal(agent, asked)

    def _signal(self, agent: str, asked: Asked) -> Said:
        etag = f'"{hashlib.sha256(asked.query).hexdigest()[:16]}"'
        if asked.headers.get("if-none-match") == etag:
            self.unchanged[agent] += 1
            return Said(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
        query = dict(parse_qsl(asked.query.decode()))
        data = signal(agent, int(query.get("week", 1)), int(query.get("day", 1)), query["topic"])
        return _json({"ok": True, "data": data}, headers={"ETag": etag})


def _daily(asked: Asked) -> Said:
    lesson = from_json(asked.body)
    return _json({"ok": True, "data": plan(lesson["TOPIC"], lesson["TIME_PER_DAY_MIN"])})


def _no(status: HTTPStatus, error: str) -> Said:
    return _json({"ok": False, "error": error, "code": "AGENT_ERROR"}, status)


def _json(body: object, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Said:
    return Said(to_json(body), status, headers or {})


@contextmanager
def fake_agents(**manners: Manner) -> Iterator[FakeAgents]:
    """All agents on a free port, on a thread of their own, until the end of the block."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        agents = FakeAgents(manners, address=f"http://{LOOPBACK}:{listening.getsockname()[1]}")
        with asyncio.Runner() as runner:
            loop, over = runner.get_loop(), asyncio.Event()
            serve = _serve(agents, listening, until=over)
            thread = threading.Thread(target=runner.run, args=(serve,), name="fake-agents")
            thread.start()
            try:
                yield agents  # whoever connects before it has begun waits at the socket
            finally:
                loop.call_soon_threadsafe(over.set)
                thread.join()


async def _serve(agents: FakeAgents, listening: socket.socket, *, until: asyncio.Event) -> None:
    async with serving(agents.hear, listening):
        await until.wait()


def main() -> None:
    """Answer on the given port until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="how long every agent takes")
    parser.add_argument("manner", nargs="*", help=f"AGENT=one of {', '.join(BY_NAME)}")
    given = parser.parse_intermixed_args()
    usual = Manner(given.delay_ms / 1_000)
    manners = {}
    for agent, _, name in (text.partition("=") for text in given.manner):
        named = BY_NAME[name]
        manners[agent] = replace(named, delay_s=named.delay_s or usual.delay_s)
    with socket.create_server((LOOPBACK, given.port)) as listening:
        uvloop.run(_serve(FakeAgents(manners, usual), listening, until=asyncio.Event()))


if __name__ == "__main__":
    main()

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
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import JsonValue
    from starlette.requests import Request

REQUIRED_HEADERS: Final = ("authorization", "x-idempotency-key")
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
    """All agents; ``manners`` may be changed at any time, from any thread."""

    manners: dict[str, Manner] = field(default_factory=dict)
    usual: Manner = STEADY
    address: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    keys: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unchanged: Counter[str] = field(default_factory=Counter)

    def app(self) -> Starlette:
        """The ASGI application that answers for them."""
        below = "/functions/v1/agent-proxy"
        return Starlette(
            routes=[
                Route(below + "/{agent:str}/signals", self._signals),
                Route(below + "/instructor/daily", self._daily, methods=["POST"]),
                Route("/asked", self._counts),
            ]
        )

    async def _signals(self, request: Request) -> Response:
        agent, query = request.path_params["agent"], request.query_params
        if (refusal := await self._met(agent, request)) is not None:
            return refusal
        data = signal(agent, int(query.get("week", 1)), int(query.get("day", 1)), query["topic"])
        etag = f'"{hashlib.sha256(request.url.query.encode()).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            self.unchanged[agent] += 1
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
        return JSONResponse({"ok": True, "data": data}, headers={"ETag": etag})

    async def _daily(self, request: Request) -> Response:
        if (refusal := await self._met("instructor", request)) is not None:
            return refusal
        asked = await request.json()
        return JSONResponse({"ok": True, "data": plan(asked["TOPIC"], asked["TIME_PER_DAY_MIN"])})

    async def _counts(self, _request: Request) -> Response:
        return JSONResponse({"asked": self.asked, "unchanged": self.unchanged})

    async def _met(self, agent: str, request: Request) -> Response | None:
        """Count the request and take the agent's time for it; gives its refusal, where it is one."""
        self.asked[agent] += 1
        manner = self.manners.get(agent, self.usual)
        failing = manner.down or (manner.flapping and self.asked[agent] % 2 == 0)
        await asyncio.sleep(manner.delay_s)
        if any(name not in request.headers for name in REQUIRED_HEADERS):
            return _no(HTTPStatus.UNAUTHORIZED, f"{' and '.join(REQUIRED_HEADERS)} are needed")
        self.keys[agent].append(request.headers["x-idempotency-key"])
        return _no(HTTPStatus.SERVICE_UNAVAILABLE, "out of order") if failing else None


def _no(status: HTTPStatus, error: str) -> Response:
    return JSONResponse({"ok": False, "error": error, "code": "AGENT_ERROR"}, status_code=status)


@contextmanager
def fake_agents(**manners: Manner) -> Iterator[FakeAgents]:
    """All agents on a free port, on a thread of their own, until the end of the block."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        agents = FakeAgents(manners, address=f"http://{LOOPBACK}:{listening.getsockname()[1]}")
        server = uvicorn.Server(_config(agents))
        thread = threading.Thread(target=server.run, args=([listening],), name="fake-agents")
        thread.start()
        try:
            yield agents  # whoever connects before it has begun waits at the socket
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def _config(agents: FakeAgents, port: int = 0) -> uvicorn.Config:
    return uvicorn.Config(
        agents.app(), host=LOOPBACK, port=port, log_config=None, access_log=False, lifespan="off"
    )


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
    uvicorn.Server(_config(FakeAgents(manners, usual), given.port)).run()


if __name__ == "__main__":
    main()

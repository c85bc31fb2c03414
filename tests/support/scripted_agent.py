"""An agent without a network, which answers as a test tells it to, by a clock that the test owns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import httpx2
from pydantic import SecretStr

from orchestrator.agents.remote import AgentClient
from orchestrator.core.rates import Rate, Taken
from orchestrator.core.telemetry import Metrics

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from orchestrator.agents.remote import Allowance
    from orchestrator.testing.clock import ManualClock

T = TypeVar("T")

ADDRESS = "https://agents.example.org/edge"
TOKEN = "service-token-4711"  # noqa: S105  # it opens nothing
# More turns of the loop than anything takes that waits for nobody outside of it.
TURNS = 100

Answering = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


def answer(
    body: object, *, status: int = 200, headers: Mapping[str, str] | None = None, etag: str | None = None
) -> Answering:
    """Answer with ``body``: bytes as they are, all else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", **(headers or {}), **({"ETag": etag} if etag else {})}
    sent = [(name.encode(), value.encode()) for name, value in named.items()]

    async def answering(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=sent, stream=httpx2.ByteStream(content))

    return answering


def ok(data: object, *, etag: str | None = None) -> Answering:
    """Answer with ``data`` as the contract has it."""
    return answer({"ok": True, "data": data}, etag=etag)


def status(number: int, **headers: str) -> Answering:
    """Answer with that status alone; header names are written with underscores."""
    return answer(
        b"", status=number, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def broken() -> Answering:
    """Be not there."""

    async def answering(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody listens", request=request)

    return answering


def never() -> Answering:
    """Take the request, and say nothing for ever."""

    async def answering(_request: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets that event")

    return answering


def held(until: asyncio.Event, then: Answering) -> Answering:
    """Answer only once the test says so."""

    async def answering(request: httpx2.Request) -> httpx2.Response:
        await until.wait()
        return await then(request)

    return answering


@dataclass
class ScriptedAgent:
    """Answers the next requests as ``script`` says, and the others as ``respond`` does."""

    clock: ManualClock
    script: list[Answering] = field(default_factory=list)
    respond: Answering = field(default_factory=lambda: ok("signal"))
    asked: list[httpx2.Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        """Times are told from here on."""
        self._began = self.clock.time()

    def client(self, allowance: Allowance | None = None) -> AgentClient:
        """The real client, which reaches this agent alone."""
        return AgentClient(
            ADDRESS,
            SecretStr(TOKEN),
            clock=self.clock,
            metrics=self.metrics,
            allowance=allowance,
            transport=httpx2.MockTransport(self._take),
        )

    def counted(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 where nothing was counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def _take(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        self.times.append(self.clock.time() - self._began)
        answering = self.script.pop(0) if self.script else self.respond
        return await answering(request)


@dataclass
class ScriptedBuckets:
    """Buckets that say when the next token comes, in turn; after that there are tokens."""

    waits: list[float]
    names: list[str] = field(default_factory=list)

    async def take(self, name: str, rate: Rate) -> Taken:  # noqa: ARG002  # the script knows
        """The next outcome."""
        self.names.append(name)
        if self.waits:
            return Taken(allowed=False, left=0, next_s=self.waits.pop(0))
        return Taken(allowed=True, left=0, next_s=1)

    async def look(self, name: str, rate: Rate) -> Taken:
        """Nothing that these scripts are for looks."""
        raise NotImplementedError


async def settled() -> None:
    """Let everything happen that waits for no time."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def finished(call: Coroutine[object, object, T], clock: ManualClock) -> T:
    """What comes of ``call`` when time goes from one moment that somebody waits for to the next."""
    task = asyncio.ensure_future(call)
    await settled()
    while not task.done():
        await clock.advance_to_next()
        await settled()
    return task.result()

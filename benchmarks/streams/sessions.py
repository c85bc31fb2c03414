"""Many lesson sessions at once through the service's own HTTP API, each watched to its end."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import uvloop
from pydantic import BaseModel

from benchmarks.figures import Spread, spread
from benchmarks.processes import LOOPBACK
from benchmarks.streams.limits import allow_many_sockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

MATERIAL = """# Photosynthesis

Photosynthesis is the process by which plants, algae and some bacteria turn light into chemical energy.
It takes place in chloroplasts, which contain the green pigment chlorophyll. Light reactions split water,
release oxygen and store energy in ATP and NADPH.

## The Calvin cycle

The Calvin cycle is a series of reactions that build sugar from carbon dioxide. The enzyme RuBisCO attaches
carbon dioxide to a five-carbon sugar. ATP and NADPH from the light reactions drive the cycle.

## Why it matters

Photosynthesis is the source of nearly all food on Earth. It also keeps the oxygen of the air at its level.
A limiting factor is the condition that holds back the rate, such as light, carbon dioxide or temperature.
"""


class Completed(BaseModel):
    """What became of the sessions."""

    wall_s: float
    """From the first request to the last final event."""
    to_final_ms: Spread | None
    """From each session's creation to its final event."""
    failures: list[str]


async def request(port: int, method: str, path: str, body: object = None) -> AsyncIterator[bytes]:
    """Send one request on a connection of its own and yield the answer's lines, the status line first."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=2**20)
    try:
        writer.write(head.encode() + content)
        async for line in reader:
            yield line.rstrip(b"\r\n")
    finally:
        writer.close()


async def one_session(port: int, number: int) -> float:
    """Create a session, run it, and follow its events to the final one; returns the ms that took.

    Raises:
        RuntimeError: The session ended otherwise.
    """
    began = time.perf_counter()
    wish = {"topic": f"Photosynthesis, group {number}", "metadata": {"materials": [MATERIAL]}}
    session: dict[str, Any] = {}
    async for line in request(port, "POST", "/api/sessions", wish):
        if line.startswith(b"{"):
            session = json.loads(line)
    if "id" not in session:
        raise RuntimeError(f"the session was not created: {session}")
    last = b"nothing"
    async for line in request(port, "POST", f"/api/sessions/{session['id']}/run"):
        last = line or last
        if line.startswith(b"data: ") and json.loads(line[6:])["type"] == "final":
            return (time.perf_counter() - began) * 1000
    raise RuntimeError(f"the stream ended without a final event; its last line: {last[:200].decode()}")


async def within(limit_s: float, session: Awaitable[float]) -> float:
    """What `session` returns, unless that takes longer than `limit_s`.

    Raises:
        RuntimeError: It does.
    """
    try:
        async with asyncio.timeout(limit_s):
            return await session
    except TimeoutError:
        raise RuntimeError(f"no final event within {limit_s:.0f} s") from None


async def all_sessions(port: int, sessions: int, limit_s: float) -> Completed:
    """Run all sessions at once."""
    began = time.perf_counter()
    outcomes = await asyncio.gather(
        *(within(limit_s, one_session(port, number)) for number in range(sessions)), return_exceptions=True
    )
    return Completed(
        wall_s=time.perf_counter() - began,
        to_final_ms=spread([outcome for outcome in outcomes if isinstance(outcome, float)]),
        failures=[str(outcome) or repr(outcome) for outcome in outcomes if isinstance(outcome, Exception)],
    )


def main() -> None:
    """Run the sessions that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("sessions", type=int)
    parser.add_argument("limit_s", type=float)
    arguments = parser.parse_args()
    allow_many_sockets()
    print(uvloop.run(all_sessions(**vars(arguments))).model_dump_json(), flush=True)


if __name__ == "__main__":
    main()

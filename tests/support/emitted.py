"""Watches everything that the suite emits for what must never leave: planted names, notes and tokens.

Emitted are the logs of every test (what it wrote to standard output, standard error and through ``logging``),
what enters the stream of events, the bodies of webhooks, and the frames of WebSockets. A test plants by using
these values where a learner would write theirs; any test, in which one of them comes out, fails.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import pytest
from starlette.websockets import WebSocket

from orchestrator.streams import EmbeddedStreams, RedisStreams
from orchestrator.web.events import STREAM
from orchestrator.web.outbound import Outbound

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from orchestrator.streams import NewEntry

NAME: Final = "Thessaly Quillfeather"
NOTES: Final = "planted-notes: my hamster Bartholomew was ill, so I was late"
GOAL: Final = "planted-goal: to leave my employer Grindle and Sons by spring"
MATERIAL: Final = "planted-material: the diary of Thessaly Quillfeather"
TOKEN: Final = "planted-token-0123456789abcdef"  # noqa: S105 - it opens nothing
# What any of them shows itself by.
MARKS: Final = (
    "Quillfeather",
    "Bartholomew",
    "Grindle",
    "planted-notes",
    "planted-goal",
    "planted-material",
    TOKEN,
)

seen: list[str] = []
"""What came out so far in this test, to which it said where."""
counted: dict[str, int] = {}
"""How much was looked at, by kind: a watch that sees nothing proves nothing."""


def look(kind: str, text: str | bytes) -> None:
    """Look at something that is emitted."""
    counted[kind] = counted.get(kind, 0) + 1
    told = text if isinstance(text, str) else text.decode(errors="replace")
    seen.extend(f"{mark!r} in {kind}" for mark in MARKS if mark in told)


def watch() -> None:
    """Look from now on at what leaves through streams, webhooks and WebSockets."""
    for streams in (EmbeddedStreams, RedisStreams):
        _look_at_appends(streams)
    send_text, post = WebSocket.send_text, Outbound.post

    @wraps(send_text)
    async def sending(self: WebSocket, data: str) -> None:
        look("realtime frames", data)
        await send_text(self, data)

    @wraps(post)
    async def posting(self: Outbound, url: str, body: bytes, headers: Any) -> Any:  # noqa: ANN401
        look("webhook bodies", body)
        look("webhook headers", repr(dict(headers)))
        return await post(self, url, body, headers)

    WebSocket.send_text = sending  # type: ignore[method-assign,assignment]
    Outbound.post = posting  # type: ignore[method-assign]


def _look_at_appends(streams: type[EmbeddedStreams | RedisStreams]) -> None:
    append_all = streams.append_all

    @wraps(append_all)
    async def appending(self: Any, stream: str, entries: Sequence[NewEntry]) -> list[int]:  # noqa: ANN401
        if stream == STREAM:
            for entry in entries:
                look("stream entries", entry.data)
                look("stream entries", f"{entry.type} {entry.key}")
        return await append_all(self, stream, entries)

    streams.append_all = appending  # type: ignore[method-assign]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test in which something came out that was planted."""
    report = yield
    if call.when == "teardown":
        # What a failed assertion shows is no log; what the test wrote is.
        for title, text in report.sections:
            if title.startswith("Captured"):
                look(title.removeprefix("Captured "), text)
        found, seen[:] = sorted(set(seen)), []
        if found:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} emitted what was planted: {', '.join(found)}"
    return report

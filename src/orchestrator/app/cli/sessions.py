"""The lessons' HTTP API as the command line uses it: create, find, watch, fetch."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from orchestrator.app.cli.connection import Connection, error_of, unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from orchestrator.app.cli.lesson_files import Material

Event = dict[str, Any]
Session = dict[str, Any]

LAST_EVENTS = frozenset({"final", "error"})
ENDED_BADLY = frozenset({"failed", "cancelled", "timed_out", "terminated"})
MOST_SESSIONS_LOOKED_AT = 100
SILENCE_LIMIT_S = 45.0  # the service sends a ping every 15 s
RECONNECT_AFTER_S = 1.0
MOST_RECONNECTS = 10


class Sessions:
    """The sessions of one service."""

    def __init__(self, connection: Connection) -> None:
        self._service = connection

    async def create(self, topic: str, materials: Sequence[Material]) -> str:
        """A new session; gives its id."""
        body: dict[str, object] = {"topic": topic}
        if materials:
            body["metadata"] = {"materials": list(materials)}
        return str((await self._service.request("POST", "/api/sessions", body))["id"])

    async def get(self, session_id: str) -> Session:
        """The session of that id."""
        session: Session = await self._service.request("GET", f"/api/sessions/{quote(session_id, safe='')}")
        return session

    async def unfinished(self, topic: str, materials: Sequence[Material]) -> Session | None:
        """The newest session of exactly this topic and these materials that has no lesson yet."""
        page = await self._service.request("GET", f"/api/sessions?limit={MOST_SESSIONS_LOOKED_AT}")
        for summary in page["items"]:
            if summary["topic"] == topic.strip() and summary["status"] != "completed":
                session = await self.get(summary["id"])
                if _texts((session.get("metadata") or {}).get("materials") or []) == _texts(materials):
                    return session
        return None

    async def watch(
        self, session: Session, after: str, on_lost: Callable[[], None]
    ) -> AsyncIterator[tuple[str, Event]]:
        """The session's events after the one of id ``after``, with their ids, until its last one.

        What was not begun is started, what failed goes on where it failed. A connection that breaks is taken
        up where it broke, also with a service that was started again; ``on_lost`` is called when that begins.

        Raises:
            OrchestratorError: the service refuses. UnavailableError: it does not come back.
        """
        method = "POST" if session["status"] in ENDED_BADLY else "GET"
        failures = 0
        while failures <= MOST_RECONNECTS:
            with suppress(httpx2.TransportError):
                async for event_id, event in self._stream(method, session["id"], after):
                    if event_id:
                        after, failures = event_id, 0
                    yield after, event
                    if event["type"] in LAST_EVENTS:
                        return
            if failures == 0:
                on_lost()
            failures += 1
            method = "GET"
            await asyncio.sleep(RECONNECT_AFTER_S)
        raise unreachable(self._service.address)

    async def result(self, session_id: str) -> dict[str, Any]:
        """The finished lesson."""
        result: dict[str, Any] = await self._service.request("GET", f"/api/sessions/{session_id}/result")
        return result

    async def pictures(self, result: dict[str, Any]) -> dict[str, bytes]:
        """The lesson's pictures by file name."""
        return {
            address.rpartition("/")[2]: (await self._service.answer("GET", address)).content
            for address in result["images"].values()
        }

    async def _stream(self, method: str, session_id: str, after: str) -> AsyncIterator[tuple[str, Event]]:
        """One connection's events with their ids, ``connected`` only on the first one."""
        headers = {"Last-Event-ID": after} if after else {}
        timeout = httpx2.Timeout(SILENCE_LIMIT_S)
        path = f"/api/sessions/{session_id}/run"
        async with self._service.http.stream(method, path, headers=headers, timeout=timeout) as response:
            if not response.is_success:
                await response.aread()
                raise error_of(response)
            async for sent in httpx2.EventSource(response):
                event = sent.json() if sent.data else None
                if isinstance(event, dict) and not (after and event["type"] == "connected"):
                    yield sent.id, event


def _texts(materials: Sequence[Material]) -> list[str]:
    return [material["text"] for material in materials]

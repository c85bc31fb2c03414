"""A client of Supabase Realtime's protocol that says exactly what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

PATIENCE_S = 20
TOPIC = "realtime:wisely.events"
JOIN = {
    "config": {
        "broadcast": {"ack": False, "self": False},
        "presence": {"key": "", "enabled": False},
        "postgres_changes": [],
        "private": False,
    }
}


class RealtimeClient:
    """One socket. Frames are told as of version 2, whatever is on the wire."""

    def __init__(self, socket: ClientConnection, version: str) -> None:
        self.socket = socket
        self._version = version

    async def send(self, join_ref: Any, ref: Any, topic: str, event: str, payload: object) -> None:  # noqa: ANN401
        """Send a frame."""
        frame: object = [join_ref, ref, topic, event, payload]
        if self._version == "1.0.0":
            frame = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
        await self.socket.send(json.dumps(frame))

    async def next(self) -> list[Any]:
        """The next frame."""
        async with asyncio.timeout(PATIENCE_S):
            frame = json.loads(await self.socket.recv())
        if self._version == "1.0.0":
            assert set(frame) == {"topic", "event", "payload", "ref", "join_ref"}
            return [frame[name] for name in ("join_ref", "ref", "topic", "event", "payload")]
        assert isinstance(frame, list)
        return frame

    async def join(self, payload: Mapping[str, object] | None = None, ref: str = "1") -> dict[str, Any]:
        """Join the one topic; what is replied."""
        await self.send(ref, ref, TOPIC, "phx_join", {**JOIN, **(payload or {})})
        join_ref, replied, topic, event, reply = await self.next()
        assert (join_ref, replied, topic, event) == (ref, ref, TOPIC, "phx_reply")
        return dict(reply)

    async def heard(self) -> tuple[str, dict[str, Any]]:
        """The next event: its type and its data."""
        join_ref, ref, topic, event, payload = await self.next()
        assert (join_ref, ref, topic, event) == (None, None, TOPIC, "broadcast")
        assert payload["type"] == "broadcast"
        return payload["event"], payload["payload"]

    async def is_quiet(self) -> bool:
        """Whether nothing was sent before the answer to a heartbeat that is sent now."""
        await self.send(None, "beat", "phoenix", "heartbeat", {})
        beat = [None, "beat", "phoenix", "phx_reply", {"status": "ok", "response": {}}]
        return await self.next() == beat

    async def closed(self) -> tuple[int, str]:
        """The code and the reason with which the service ends this."""
        async with asyncio.timeout(PATIENCE_S):
            await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""


@asynccontextmanager
async def realtime(
    url: str, apikey: str | None = None, vsn: str | None = "2.0.0", headers: Mapping[str, str] | None = None
) -> AsyncGenerator[RealtimeClient]:
    """A client of the service at ``url``."""
    query = {name: value for name, value in (("apikey", apikey), ("vsn", vsn)) if value is not None}
    address = f"{url.replace('http', 'ws', 1)}/realtime/v1/websocket?{urlencode(query)}"
    async with connect(address, additional_headers=headers, proxy=None) as socket:
        yield RealtimeClient(socket, vsn or "1.0.0")

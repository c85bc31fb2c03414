"""A socket that ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from starlette.websockets import WebSocket

from orchestrator.testing import ManualClock
from orchestrator.web.auth.credentials import Credentials
from orchestrator.web.auth.dev import dev_sign_in
from orchestrator.web.events import Feed
from orchestrator.web.realtime.conversation import Conversation
from orchestrator.web.realtime.frames import Version
from orchestrator.web.realtime.identity import Identity
from orchestrator.web.realtime.socket import RealtimeSocket

if TYPE_CHECKING:
    from starlette.types import Message

    from orchestrator.core.errors import OrchestratorError


class Client:
    """A client that says something that is no frame, and then takes nothing more."""

    def __init__(self) -> None:
        self.is_told = asyncio.Event()
        self.takes = asyncio.Event()
        self._says: list[Message] = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "no frame"},
        ]

    async def receive(self) -> Message:
        """What it says."""
        if not self._says:
            await asyncio.Event().wait()
        return self._says.pop(0)

    async def send(self, message: Message) -> None:
        """Tell it something."""
        if message["type"] == "websocket.close":
            self.is_told.set()
            await self.takes.wait()


async def _refused(error: OrchestratorError) -> OrchestratorError:
    return error


def _no_streams() -> NoReturn:
    raise AssertionError


async def test_one_that_ends_already_can_be_let_go() -> None:
    """Its place may be needed while its client takes its time to hear the last word."""
    client, clock, feed = Client(), ManualClock(), Feed(_no_streams)
    websocket = WebSocket({"type": "websocket"}, client.receive, client.send)
    await websocket.accept()
    identity = Identity(dev_sign_in(), Credentials(), "", _refused)
    socket = RealtimeSocket(websocket, Version.TWO, Conversation(identity, feed), feed, clock)
    serving = asyncio.create_task(socket.serve())
    await client.is_told.wait()
    socket.let_go()
    client.takes.set()
    await serving
    socket.let_go()

"""An agent on a real socket, which sends what bytes a test gives it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from support.services import LOOPBACK

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable


class RawAgent:
    """Takes requests, remembers them, and sends the bytes that a test gives it, once for each connection.

    With ``keep`` it answers all requests of a connection. ``arrived`` is set by a request, ``left`` by a
    connection that ends.
    """

    def __init__(
        self, send: Callable[[asyncio.StreamWriter], Awaitable[None]], *, keep: bool = False
    ) -> None:
        self.asked: list[bytes] = []
        self.arrived, self.left = asyncio.Event(), asyncio.Event()
        self.connections = 0
        self._send = send
        self._keep = keep
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Listen on a free port while inside; gives the address."""
        async with await asyncio.start_server(self._accept, LOOPBACK, 0, ssl=tls) as server:
            yield f"{'https' if tls else 'http'}://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
            await asyncio.gather(*self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                self.arrived.set()
                await self._send(writer)
                await writer.drain()
                if not self._keep:
                    break
        self.left.set()
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()


def sending(*pieces: bytes) -> RawAgent:
    """An agent that sends these bytes, and closes."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.writelines(pieces)

    return RawAgent(send)


def head(status: str, *lines: str) -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()

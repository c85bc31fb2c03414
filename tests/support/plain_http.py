"""HTTP/1.1 as thin as it gets: a server that costs next to nothing beside what is measured or tested."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping

    Hear = Callable[["Asked", Callable[["Said"], None]], None]


@dataclass(slots=True)
class Asked:
    """A request. Names of ``headers`` are in lower case."""

    path: str = ""
    query: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer; ``body`` is JSON."""

    body: bytes = b""
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_sent(self) -> bytes:
        """It as bytes."""
        named = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        if self.status is not HTTPStatus.NOT_MODIFIED:
            named += f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n"
        return f"HTTP/1.1 {self.status} {self.status.phrase}\r\n{named}\r\n".encode() + self.body


@asynccontextmanager
async def serving(hear: Hear, listening: socket.socket) -> AsyncIterator[None]:
    """Answer whoever connects until the end of the block, then hang up on all.

    ``hear`` gets each request, and says the answer when it likes.
    """
    connected = set[asyncio.Transport]()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(hear, connected), sock=listening
    )
    try:
        yield
    finally:
        server.close()
        for transport in list(connected):
            transport.abort()
        await server.wait_closed()


class _Connection(asyncio.Protocol):
    """One client, who asks one thing after the other."""

    def __init__(self, hear: Hear, connected: set[asyncio.Transport]) -> None:
        self._hear = hear
        self._connected = connected
        self._asked, self._url = Asked(), b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self._connected.add(self._transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """He is gone."""
        self._connected.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Read on; who speaks no HTTP is hung up on."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        """The parser begins another request."""
        self._asked, self._url = Asked(), b""

    def on_url(self, url: bytes) -> None:
        """The parser has some more of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has one more header."""
        self._asked.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """The parser has some more of the body."""
        self._asked.body += body

    def on_message_complete(self) -> None:
        """The parser has the whole request."""
        path, _, self._asked.query = self._url.partition(b"?")
        self._asked.path = path.decode()
        self._hear(self._asked, self._say)

    def _say(self, said: Said) -> None:
        if not self._transport.is_closing():
            self._transport.write(said.as_sent())

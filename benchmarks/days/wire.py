"""HTTP/1.1 as thin as it gets, so that a core's worth of requests leaves a core for the service."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from benchmarks.processes import LOOPBACK

LARGEST_HEAD_BYTES = 64 * 1024
CONTENT_LENGTH = b"\r\ncontent-length: "


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the service, in the name of whoever has the token."""

    method: str
    path: str
    token: str
    body: object = None


class Connections:
    """Kept-alive connections to one port of the loopback interface: as many as there are requests at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: Request) -> tuple[int, bytes]:
        """The answer's status and body.

        Raises:
            OSError: the connection broke off, or none was to be had.
        """
        reader, writer = await self._connection()
        try:
            writer.write(self._written(request))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.partition(CONTENT_LENGTH)[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length))
        except asyncio.IncompleteReadError as error:
            writer.close()
            raise ConnectionResetError("the service closed the connection without an answer") from error
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return int(head[9:12]), body

    def close(self) -> None:
        """Close those that nobody uses."""
        for _, writer in self._idle:
            writer.close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One that is open: the service lets those go that nobody used for a minute."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await self._connected()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(LOOPBACK, self._port, limit=LARGEST_HEAD_BYTES)

    def _written(self, request: Request) -> bytes:
        content = b"" if request.body is None else json.dumps(request.body).encode()
        kind = "Content-Type: application/json\r\n" if content else ""
        head = (
            f"{request.method} {request.path} HTTP/1.1\r\nHost: {LOOPBACK}:{self._port}\r\n"
            f"Authorization: Bearer {request.token}\r\n{kind}Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

"""A server that receives webhooks, and answers what a test tells it to."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  # JSON
        """What it says."""
        return json.loads(self.body)


class Receiver:
    """Listens on this machine. ``statuses`` are answered one after the other, the last of them for ever.

    Where ``refuses_first`` is set, the first attempt of each message is answered 500.
    """

    def __init__(self, *statuses: int) -> None:
        self.received: list[Received] = []
        self.statuses = list(statuses or (204,))
        self.refuses_first = False
        self.more_headers = ""
        self.url = ""
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[Receiver]:
        """Listen while inside."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
        try:
            yield self
        finally:
            server.close()

    async def until(self, count: int) -> list[Received]:
        """What came, as soon as it is so many."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: len(self.received) >= count)
        return self.received

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value for name, _, value in lines}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        status = self._status(headers)
        writer.write(f"HTTP/1.1 {status} So\r\nContent-Length: 0\r\n{self.more_headers}\r\n".encode())
        writer.close()
        async with self._news:
            self.received.append(Received(headers, body))
            self._news.notify_all()

    def _status(self, headers: dict[str, str]) -> int:
        if self.refuses_first and headers["webhook-id"] not in self._ids:
            return 500
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    @property
    def _ids(self) -> set[str]:
        return {received.headers["webhook-id"] for received in self.received}

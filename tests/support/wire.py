"""A wire to a server that tests cut: what was asked arrives, and the answer is lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from support.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK_BYTES = 65_536


class Wire:
    """Carries connections to a port of the loopback interface."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lost_words = b""
        self.port = 0

    def lose_the_answer_to(self, words: bytes) -> None:
        """Cut the next connection on which these words are sent, once its answer comes."""
        self._lost_words = words

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until one of its ends lets go."""
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._port)
        asked = asyncio.create_task(self._carry_questions(reader, far_writer))
        cut = await self._carry_answers(far_reader, writer, asked)
        if not cut:
            asked.cancel()
        far_writer.close()
        writer.close()

    async def _carry_questions(self, reader: asyncio.StreamReader, far: asyncio.StreamWriter) -> bool:
        """Whether words came whose answer is to be lost; otherwise this goes on until the end."""
        while data := await reader.read(CHUNK_BYTES):
            far.write(data)
            if self._lost_words and self._lost_words in data:
                self._lost_words = b""
                return True
        far.close()
        return False

    async def _carry_answers(
        self, far: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Task[bool]
    ) -> bool:
        """Whether the wire was cut."""
        while data := await far.read(CHUNK_BYTES):
            if asked.done() and asked.result():
                return True
            writer.write(data)
        return False


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    """A wire to that port, from one of its own."""
    wire = Wire(port)
    server = await asyncio.start_server(wire.carry, LOOPBACK, 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()

"""TLS in front of a server that has none, as a proxy of a cluster terminates it; and one that refuses all."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from support.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from support.certificates import Authority

    Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]

PIECE_BYTES = 65_536

# HTTP/2 frames: 3 bytes of length, then type, flags and 4 bytes of stream.
SETTINGS_FRAME = b"\x00\x00\x00\x04\x00" + b"\x00\x00\x00\x00"
HEADERS, END_STREAM_AND_HEADERS = 1, 0x05
FRAME_HEAD_BYTES = 9
PREFACE_BYTES = 24
PERMISSION_DENIED = b"7"


@asynccontextmanager
async def behind_tls(
    address: str, certificate: tuple[Path, Path], clients: Authority | None = None
) -> AsyncGenerator[str]:
    """Where the server at ``address`` is reached by TLS; with ``clients``, only by those whom it signed."""
    host, _, port = address.rpartition(":")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(host, int(port))
        try:
            await _first_of(_pour(reader, questions), _pour(answers, writer))
        finally:
            questions.close()
            await questions.wait_closed()

    async with _listening(_terms(certificate, clients), carry) as front:
        yield front


@asynccontextmanager
async def refusing_all_keys(certificate: tuple[Path, Path]) -> AsyncGenerator[str]:
    """A gRPC server that answers every call with PERMISSION_DENIED."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(PREFACE_BYTES)
        writer.write(SETTINGS_FRAME)
        while True:
            head = await reader.readexactly(FRAME_HEAD_BYTES)
            await reader.readexactly(int.from_bytes(head[:3]))
            if head[3] == HEADERS:
                writer.write(_refusal(stream=head[5:9]))
                await writer.drain()

    async with _listening(_terms(certificate, None), refuse) as front:
        yield front


def _refusal(stream: bytes) -> bytes:
    """Headers alone, each written out: what gRPC calls a response of trailers only."""
    fields = {b"content-type": b"application/grpc", b"grpc-status": PERMISSION_DENIED}
    block = b"\x88" + b"".join(  # 0x88 is ":status: 200" in HPACK's own table
        b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields.items()
    )
    return len(block).to_bytes(3) + bytes([HEADERS, END_STREAM_AND_HEADERS]) + stream + block


def _terms(certificate: tuple[Path, Path], clients: Authority | None) -> ssl.SSLContext:
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.load_cert_chain(*certificate)
    terms.set_alpn_protocols(["h2"])
    if clients is not None:
        terms.verify_mode = ssl.CERT_REQUIRED
        terms.load_verify_locations(clients.ca_file)
    return terms


@asynccontextmanager
async def _listening(terms: ssl.SSLContext, answer: Answer) -> AsyncGenerator[str]:
    """Answer connections until this is left; then none is left open."""
    under_way: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        under_way.add(task)
        try:
            await answer(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # a client that leaves, or the end of the test
        finally:
            writer.transport.abort()
            under_way.discard(task)

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=terms)
    try:
        yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(under_way):
            task.cancel()
        await asyncio.gather(*under_way)
        await server.wait_closed()


async def _first_of(*ways: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(PIECE_BYTES):
        target.write(data)
        await target.drain()

"""The service as a process: real sockets, real streams, real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys

import httpx2
import pytest
import structlog

from orchestrator.app.server import Server
from orchestrator.core.errors import ConflictError, SettingsError
from orchestrator.core.settings import ServerSettings, Settings
from orchestrator.web.application import House, create_app
from support.sample_room import SampleRoom

# The sample room as a process of its own, as `orchestrator serve` would run it.
PROGRAM = """
import asyncio, sys
from orchestrator.app.server import Server, run
from orchestrator.core.settings import ServerSettings, Settings
from orchestrator.web.application import House, create_app
from support.sample_room import SampleRoom

settings = Settings(server=ServerSettings(port=int(sys.argv[1]), metrics_port=0))
server = Server(create_app(House(settings), [SampleRoom().feature]), settings.server)

async def served() -> int:
    serving = asyncio.create_task(server.serve())
    await server.listening()
    print("listening", flush=True)
    return await serving

sys.exit(run(served()))
"""


class Running:
    """A service in this process, with its room at hand."""

    def __init__(self, **settings: float) -> None:
        self.room = SampleRoom()
        server = ServerSettings.model_validate(
            {"port": 0, "metrics_port": 0, "shutdown_timeout_s": 5} | settings
        )
        app = create_app(House(Settings(server=server)), [self.room.feature])
        self.server = Server(app, server, handle_signals=False)


def served(settings: ServerSettings) -> Server:
    """A service with exactly these settings, that is not started yet."""
    app = create_app(House(Settings(server=settings)), [SampleRoom().feature])
    return Server(app, settings, handle_signals=False)


@pytest.fixture
def running() -> Running:
    """A service that is not started yet."""
    return Running()


async def test_port_zero_becomes_known(running: Running) -> None:
    """The command line runs the service on any free port and must learn which."""
    async with running.server.running() as url, httpx2.AsyncClient() as client:
        assert not url.endswith(":0")
        assert (await client.get(f"{url}/health")).json()["status"] == "healthy"


async def test_a_taken_port_is_a_clear_error() -> None:
    """The sentence names the address, the reason and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Running(port=port).server
        with pytest.raises(ConflictError, match=rf"127\.0\.0\.1:{port}: another program.*server\.port"):
            await server.serve()


async def test_a_taken_metrics_port_that_nobody_set_is_done_without() -> None:
    """Prometheus itself uses 9090 by default: the log says why there are no metrics, and all else works."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        unset = ServerSettings.model_construct(_fields_set={"port"}, port=0, metrics_port=port)
        with structlog.testing.capture_logs() as logged:
            async with served(unset).running() as url, httpx2.AsyncClient() as client:
                assert (await client.get(f"{url}/health")).status_code == 200
        with pytest.raises(ConflictError, match=rf"{port}: another program.*server\.metrics_port"):
            await served(ServerSettings(port=0, metrics_port=port)).serve()

    reasons = [entry["reason"] for entry in logged if entry["event"] == "metrics are not served"]
    assert len(reasons) == 1
    assert f"127.0.0.1:{port}: another program" in reasons[0]


async def test_a_failed_start_reaches_the_caller(running: Running) -> None:
    """What the engine says at start is what the command line shows, and the port is free again."""

    async def fail() -> None:
        raise SettingsError("data_dir is not writable.")

    object.__setattr__(running.room.feature, "on_start", (fail,))
    with pytest.raises(SettingsError, match="not writable"):
        async with running.server.running():
            pass


async def test_the_wire_of_a_stream_is_what_eventsource_wants(running: Running) -> None:
    """No event field, compact data, an id each, retry once, and headers that keep proxies out of the way."""
    running.room.may_go_on.set()
    async with running.server.running() as url, httpx2.AsyncClient() as client:
        answer = await client.get(f"{url}/events", headers={"Accept-Encoding": "gzip"})

    assert answer.text == (
        'retry: 2000\n\nid: 1\ndata: {"n":1}\n\nid: 2\ndata: {"n":2}\n\nid: 3\ndata: {"n":"last"}\n\n'
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in answer.headers


async def test_a_quiet_stream_is_kept_alive(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment goes out now and then, which EventSource ignores and proxies respect."""
    monkeypatch.setattr("orchestrator.web.sse.PING_EVERY_S", 0.01)
    async with (
        running.server.running() as url,
        httpx2.AsyncClient() as client,
        client.stream("GET", f"{url}/events?count=0") as answer,
    ):
        lines = answer.aiter_lines()
        seen = [await anext(lines) for _ in range(4)]
        running.room.may_go_on.set()

    assert seen == ["retry: 2000", "", ": ping", ""]


async def test_streams_outlive_the_request_timeout() -> None:
    """Sixty seconds are for requests; a lesson may take longer than that."""
    running = Running(request_timeout_s=0.05)
    async with (
        running.server.running() as url,
        httpx2.AsyncClient() as client,
        client.stream("GET", f"{url}/events?count=0") as answer,
    ):
        assert (await client.get(f"{url}/waits")).status_code == 504
        running.room.may_go_on.set()
        text = "".join([part async for part in answer.aiter_text()])

    assert '"last"' in text


async def test_a_client_that_leaves_ends_its_stream(running: Running) -> None:
    """Nothing keeps running for nobody."""
    async with running.server.running() as url:
        async with httpx2.AsyncClient() as client, client.stream("GET", f"{url}/events"):
            await running.room.going_on.wait()
        await running.room.stream_closed.wait()


async def test_a_stream_that_fails_half_way_is_not_taken_for_whole(running: Running) -> None:
    """The connection breaks, so that EventSource comes back; the cause stays in the logs."""
    running.room.breaks = True
    running.room.may_go_on.set()
    async with (
        running.server.running() as url,
        httpx2.AsyncClient() as client,
        client.stream("GET", f"{url}/events?count=1") as answer,
    ):
        lines = answer.aiter_lines()
        seen = [await anext(lines) for _ in range(5)]
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(lines)

    assert seen == ["retry: 2000", "", "id: 1", 'data: {"n":1}', ""]


async def test_a_client_that_stops_reading_is_let_go(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stalled reader must not hold its stream, and what feeds it, for ever."""
    monkeypatch.setattr("orchestrator.web.sse.SEND_TIMEOUT_S", 0.05)
    async with running.server.running() as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(url).port, limit=1)
        writer.write(b"GET /events?count=1000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await running.room.stream_closed.wait()
        writer.transport.abort()
        assert reader is not None


async def test_stopping_ends_streams_cleanly_and_lets_requests_finish(running: Running) -> None:
    """A stream ends well-formed, a request in flight gets its answer, and the exit code is 0."""
    serving = asyncio.create_task(running.server.serve())
    await running.server.listening()
    url = running.server.url
    async with httpx2.AsyncClient() as client, client.stream("GET", f"{url}/events") as answer:
        await running.room.going_on.wait()
        running.room.going_on.clear()
        waiting = asyncio.create_task(client.get(f"{url}/waits"))
        await running.room.going_on.wait()

        running.server.stop()
        text = "".join([part async for part in answer.aiter_text()])
        running.room.may_go_on.set()

        assert text.endswith('id: 2\ndata: {"n":2}\n\n')
        assert (await waiting).json() == {"waited": "yes"}
    assert await serving == 0
    async with httpx2.AsyncClient() as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"{url}/health")


async def test_what_does_not_finish_in_time_is_cut_off() -> None:
    """Shutdown takes no longer than its timeout, and that is still an orderly end."""
    running = Running(shutdown_timeout_s=0.5)
    serving = asyncio.create_task(running.server.serve())
    await running.server.listening()
    async with httpx2.AsyncClient() as client:
        waiting = asyncio.create_task(client.get(f"{running.server.url}/waits"))
        await running.room.going_on.wait()
        running.server.stop()

        assert await serving == 0
        answer = await waiting
        assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")


def started(port: int) -> subprocess.Popen[str]:
    """The sample room as a process, once it listens."""
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "listening" in line:
            return process
    raise AssertionError("it did not start")


@pytest.mark.acceptance
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_in_order_with_exit_code_zero(sign: signal.Signals, free_port: int) -> None:
    """An open stream ends well-formed and the process leaves with 0."""
    with (
        started(free_port) as process,
        httpx2.Client() as client,
        client.stream("GET", f"http://127.0.0.1:{free_port}/events") as answer,
    ):
        parts = answer.iter_text()
        text = next(parts)
        process.send_signal(sign)
        text += "".join(parts)

        assert process.wait(10) == 0
    assert text.endswith('id: 2\ndata: {"n":2}\n\n')


@pytest.mark.acceptance
def test_a_second_signal_ends_the_process_at_once(free_port: int) -> None:
    """Who asks twice does not want to wait for a request that hangs."""
    with started(free_port) as process, socket.create_connection(("127.0.0.1", free_port)) as caller:
        caller.sendall(b"GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n")
        caller.settimeout(10)
        with httpx2.Client() as client:
            client.get(f"http://127.0.0.1:{free_port}/health")
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert any("stopping" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)

        assert process.wait(5) == -signal.SIGTERM

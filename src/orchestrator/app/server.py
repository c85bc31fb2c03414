"""The service as a process: listens, serves, and stops without dropping what is in flight."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import signal
import socket
import sys
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

import structlog
import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from orchestrator.app.http_protocol import AnsweredSocketProtocol, ProblemProtocol
from orchestrator.core.errors import ConflictError, SettingsError
from orchestrator.core.listening import cannot_listen
from orchestrator.core.telemetry import served_metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
    from types import FrameType

    from fastapi import FastAPI

    from orchestrator.core.settings import ServerSettings
    from orchestrator.web.sse import Closing

T = TypeVar("T")

BACKLOG = 2_048  # connections that may wait to be accepted; the kernel may hold it lower
# A watcher is many small objects that live long. By Python's own thresholds all are gone over so often
# that a service with 5,000 watchers stood still for a second at a time.
GC_THRESHOLDS = (50_000, 20, 100)
# How long a thread that wants Python's lock waits for a busy one. Those that write tables and journal want it
# several times in each transaction: by Python's own 5 ms a commit took tens of them beside a busy event loop.
SWITCH_S = 0.0002
LARGEST_MESSAGE_BYTES = 1024 * 1024  # of a WebSocket, whatever its route takes
KEEP_ALIVE_S = 65  # over the 60 s that proxies in front usually keep theirs

log = structlog.get_logger()


class Server:
    """Serves one application on one address, until it is told to stop.

    On SIGINT and SIGTERM it takes no new requests, ends event streams, gives those in flight
    ``shutdown_timeout_s``, then leaves the application's lifespan. A second signal ends the process at once.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: ServerSettings,
        *,
        handle_signals: bool = True,
        port_setting: str = "server.port",
    ) -> None:
        """Take an application made by ``create_app``; ``handle_signals`` only where it owns the process.

        ``port_setting`` is what people are told to change where the port is taken.
        """
        self._app = app
        self._settings = settings
        self._port_setting = port_setting
        self._listening = asyncio.Event()
        self._port = settings.port
        self._metrics_port: int | None = None
        config = uvicorn.Config(
            app,
            http=ProblemProtocol,
            ws=AnsweredSocketProtocol,
            lifespan="off",  # entered here, so that what goes wrong at start reaches the caller as it is
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_s),
            ws_max_size=LARGEST_MESSAGE_BYTES,
            ws_per_message_deflate=False,  # a small frame could unpack to a large one
        )
        self._uvicorn = _Uvicorn(config, app.state.closing, self._announce, handle_signals=handle_signals)

    @property
    def url(self) -> str:
        """Where it listens, once it does: with port 0 in the settings this has the real one."""
        return self._address(self._port)

    @property
    def metrics_url(self) -> str | None:
        """Where its metrics are served, once it listens; None if they are not."""
        return None if self._metrics_port is None else f"{self._address(self._metrics_port)}/metrics"

    async def listening(self) -> None:
        """Wait until requests are answered."""
        await self._listening.wait()

    def stop(self) -> None:
        """Stop as on a signal; ``serve`` returns when all is done."""
        self._uvicorn.stop()

    async def serve(self) -> int:
        """Serve until stopped, and give the process's exit code.

        Raises:
            ConflictError: Another program has the port, or the metrics' port that was set.
            SettingsError: The address cannot be listened on for another reason.
            Exception: Whatever the application's start raises, be it after requests were answered already.
        """
        with bound(self._settings, self._port_setting) as listener, self._metrics():
            self._port = listener.getsockname()[1]
            self._app.state.parts.on_failure(self.stop)
            async with self._app.router.lifespan_context(self._app):
                await self._uvicorn.serve(sockets=[listener])
        log.info("stopped")
        return 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve while inside; gives the URL.

        Raises:
            ConflictError, SettingsError: As ``serve`` does.
        """
        serving = asyncio.create_task(self.serve())
        listening = asyncio.create_task(self.listening())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if serving.done():
            await serving
        try:
            yield self.url
        finally:
            self.stop()
            await serving

    def _address(self, port: int) -> str:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{port}"

    @contextmanager
    def _metrics(self) -> Iterator[None]:
        """Serve metrics while inside. A taken port that nobody asked for is no reason not to start."""
        with ExitStack() as serving:
            if self._settings.enable_metrics:
                try:
                    self._metrics_port = serving.enter_context(
                        served_metrics(
                            self._app.state.metrics, self._settings.host, self._settings.metrics_port
                        )
                    )
                except (ConflictError, SettingsError) as error:
                    if "metrics_port" in self._settings.model_fields_set:
                        raise
                    log.warning("metrics are not served", reason=error.message)
            yield

    def _announce(self) -> None:
        self._listening.set()


def bound(settings: ServerSettings, port_setting: str = "server.port") -> socket.socket:
    """A socket that listens where the settings say.

    Raises:
        ConflictError: Another program has the port.
        SettingsError: The address cannot be listened on for another reason.
    """
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise cannot_listen(error, host, port, f"--port ({port_setting})") from error


def run(main: Coroutine[None, None, T]) -> T:
    """Run ``main`` in a process made for serving.

    With uvloop where there is one, few garbage collections, and threads that give way to each other soon.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        return runner.run(main)


class _Uvicorn(uvicorn.Server):
    """uvicorn, except for what a signal means."""

    def __init__(
        self, config: uvicorn.Config, closing: Closing, announce: Callable[[], None], *, handle_signals: bool
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._closing = closing
        self._handle_signals = handle_signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.freeze()
        self._announce()

    def stop(self) -> None:
        self.should_exit = True
        if not self._closing.begun:
            log.info("stopping", in_flight=len(self.server_state.tasks))
        self._closing.begin()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        self._loop = asyncio.get_running_loop()
        with super().capture_signals() if self._handle_signals else nullcontext():
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        # A handler may interrupt any line of Python: it leaves the work to the loop.
        self.should_exit = True
        self._loop.call_soon_threadsafe(self.stop)

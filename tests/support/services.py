"""Real services for tests: our own as a process that can be killed, and the Temporal dev server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from support import emitted
from support.server_processes import end_guarded, shared_server, start_guarded

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

LOOPBACK = "127.0.0.1"
START_LIMIT_S = 60.0
STOP_LIMIT_S = 40.0  # the service gives requests in flight up to 30 s
LOOK_AGAIN_S = 0.02

COMMANDS = Path(sys.executable).parent
"""Where the commands of this environment are: orchestrator, temporal, node."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class ServiceProcess:
    """``orchestrator serve`` as a process of its own, on a free port and in ``folder``.

    Nothing of the environment reaches it but ``PATH`` and what ``environment`` says. The port stays the same
    across restarts, as clients expect. Leaving the ``with`` block kills what still runs.

    Args:
        folder: Where the log and, under ``data``, the data directory are.
        environment: Settings as ``ORCHESTRATOR_…`` variables.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.base_url = f"http://{LOOPBACK}:{self.port}"
        self.data_dir = folder / "data"
        self.log_file = folder / "service.log"
        self._folder = folder
        self._environment = {
            "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "ORCHESTRATOR_SERVER_METRICS_PORT": "0",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start, and wait until the service is ready."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what still runs."""
        self.kill()
        emitted.look("the log of a service", self.log)

    @property
    def pid(self) -> int:
        """The process id of the running service."""
        return self._running().pid

    def take(self, code: Path | None) -> None:
        """From the next start on, run the code in that directory; None is this checkout's."""
        self._environment.pop("PYTHONPATH", None)
        if code is not None:
            self._environment["PYTHONPATH"] = str(code)

    @property
    def is_running(self) -> bool:
        """Whether it was started, and has not ended since."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All that the service wrote, over all its lives."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def start(self) -> None:
        """Start the service and wait until it is ready.

        Raises:
            RuntimeError: it already runs, ended early, or was not ready in time; the log is in the message.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it without waiting for anything.

        Raises:
            RuntimeError: it already runs.
        """
        if self._process is not None:
            raise RuntimeError(f"The service already runs as process {self._process.pid}.")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [str(COMMANDS / "orchestrator"), *self._arguments()],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _arguments(self) -> list[str]:
        listening = ["--host", LOOPBACK, "--port", str(self.port)]
        return ["serve", *listening, "--data-dir", str(self.data_dir)]

    def kill(self) -> None:
        """End it at once with SIGKILL, as a power cut would; harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> int:
        """Ask it to end with SIGTERM, wait until it did, and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it did not end in time; it is killed then.
        """
        return self.stop(signal.SIGTERM)

    def stop(self, number: signal.Signals) -> int:
        """Like ``terminate``, with a signal of choice."""
        process = self._running()
        process.send_signal(number)
        try:
            return process.wait(STOP_LIMIT_S)
        finally:
            self.kill()

    def restart(self) -> None:
        """Start it again on the same data and port, killing it first if it still runs."""
        self.kill()
        self.start()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("The service does not run.")
        return self._process

    def wait_until_ready(self, limit_s: float = START_LIMIT_S) -> None:
        """Wait until it says that it is ready.

        Raises:
            RuntimeError: it ended early, or was not ready in time; the log is in the message.
        """
        process = self._running()
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if is_ready(self.port):
                return
            if _ended_within(process, LOOK_AGAIN_S):
                self._process = None
                raise RuntimeError(f"The service ended with code {process.returncode}:\n{self.log}")
        self.kill()
        raise RuntimeError(f"The service was not ready within {limit_s:.0f} s:\n{self.log}")


class WorkerProcess(ServiceProcess):
    """``orchestrator worker`` as a process of its own; its port answers probes."""

    def _arguments(self) -> list[str]:
        return ["worker", "--port", str(self.port)]


def is_ready(port: int) -> bool:
    """Whether the service on that port says that it is."""
    connection = HTTPConnection(LOOPBACK, port, timeout=START_LIMIT_S)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


# -- Temporal ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TemporalServer:
    """A running Temporal dev server with its namespace ``default``, and where it is reached."""

    address: str


@contextmanager
def own_temporal_server(
    folder: Path, port: int | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> Generator[TemporalServer]:
    """A Temporal dev server of one's own, in memory, with its log in ``folder``, on a free port unless told.

    ``settings`` are more of its dynamic configuration: name and JSON of each value.

    Raises:
        RuntimeError: it did not start; the log is in the message.
    """
    port = port or free_port()
    log_file = folder / "temporal.log"
    temporal = [str(COMMANDS / "temporal"), "server", "start-dev", "--headless", "--log-level", "error"]
    # Or each life of a run that continues as another would last a second.
    temporal += ["--dynamic-config-value", 'history.workflowIdReuseMinimalInterval="0s"']
    # An operator may pause runs by the server's own means, where it is told to offer that.
    temporal += ["--dynamic-config-value", "frontend.WorkflowPauseEnabled=true"]
    for name, value in settings.items():
        temporal += ["--dynamic-config-value", f"{name}={value}"]
    with log_file.open("wb") as log:
        guard = start_guarded([*temporal, "--ip", LOOPBACK, "--port", str(port)], folder, log)
    try:
        if not _says_it_is_up(guard):
            raise RuntimeError(f"The Temporal dev server did not start:\n{log_file.read_text()}")
        yield TemporalServer(f"{LOOPBACK}:{port}")
    finally:
        end_guarded(guard)


def _says_it_is_up(guard: subprocess.Popen[bytes]) -> bool:
    """Whether the server announces itself, which it does once it serves; its output ends if it gives up."""
    assert guard.stdout
    return any(line.startswith(b"Temporal Server:") for line in guard.stdout)


@contextmanager
def shared_temporal_server(folder: Path) -> Generator[TemporalServer]:
    """One Temporal dev server for all processes that name the same ``folder``, such as xdist's workers."""
    with shared_server(folder, lambda: _address_of(own_temporal_server(folder))) as address:
        yield TemporalServer(address)


@contextmanager
def _address_of(starting: AbstractContextManager[TemporalServer]) -> Generator[str]:
    with starting as server:
        yield server.address

"""A real Redis server for tests, one for all of them or one of one's own that can be stopped and started."""

from __future__ import annotations

import shutil
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.server_processes import end_guarded, shared_server, start_guarded
from support.services import LOOPBACK, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator, Sequence
    from pathlib import Path

START_LIMIT_S = 30.0
LOOK_AGAIN_S = 0.02
ANSWER_LIMIT_S = 5.0

# What is not on the disk is lost at a kill: every write is synced before it is answered.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """A Redis server on a free port that stays the same from one start to the next.

    Should the test process die, the server goes too.

    Args:
        folder: Where its log and its data are.
        settings: As ``redis-server`` takes them on its command line, such as ``--requirepass secret``.
    """

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}"
        self._folder = folder
        self._settings = settings
        self._log_file = folder / "redis.log"
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._guard is not None

    def start(self) -> None:
        """Start it on the data of its last life, and wait until it answers.

        Raises:
            RuntimeError: it is not installed, already runs, or did not start; the log is in the message.
        """
        if self._guard is not None:
            raise RuntimeError("The Redis server already runs.")
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("redis-server is not installed; scripts/install-system installs it.")
        place = ("--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self._folder))
        output = ("--logfile", str(self._log_file), "--save", "")
        with self._log_file.open("ab") as log:
            self._guard = start_guarded([program, *place, *output, *self._settings], self._folder, log)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to end with SIGTERM, and wait until it has; harmless when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once with SIGKILL, as a power cut would; harmless when it does not run."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._guard is not None:
            end_guarded(self._guard, number)
            self._guard = None

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(LOOK_AGAIN_S)
        raise RuntimeError(f"The Redis server did not start:\n{self._log_file.read_text()}")

    def _answers(self) -> bool:
        """Whether it serves, be it for a password; while it still reads its data it says so instead."""
        try:
            with socket.create_connection((LOOPBACK, self.port), ANSWER_LIMIT_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


@contextmanager
def own_redis_server(folder: Path, settings: Sequence[str] = DURABLE) -> Generator[RedisServer]:
    """A Redis server of one's own, running; it can be stopped, killed and started again on its port.

    It syncs every write to its append-only file before it answers, unless ``settings`` say otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def shared_redis_server(folder: Path) -> Generator[str]:
    """The URL of one Redis server, in memory, for all processes that name the same ``folder``."""
    with shared_server(folder, lambda: _url_of_one_in(folder)) as url:
        yield url


@contextmanager
def _url_of_one_in(folder: Path) -> Generator[str]:
    with own_redis_server(folder, settings=()) as server:
        yield server.url

"""A Temporal server of one's own that can be stopped and started on its data."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from support.server_processes import end_guarded, start_guarded
from support.services import COMMANDS, LOOPBACK, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator
    from pathlib import Path


class TemporalServerProcess:
    """The Temporal dev server on a free port that stays the same from one start to the next.

    It keeps what it knows in a file. Should the test process die, the server goes too.

    Args:
        folder: Where its log and its data are.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"{LOOPBACK}:{self.port}"
        self._folder = folder
        self._log_file = folder / "temporal.log"
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._guard is not None

    def start(self) -> None:
        """Start it on the data of its last life, and wait until it serves.

        Raises:
            RuntimeError: it already runs, or did not start; the log is in the message.
        """
        if self._guard is not None:
            raise RuntimeError("The Temporal server already runs.")
        command = [str(COMMANDS / "temporal"), "server", "start-dev", "--headless", "--log-level", "error"]
        place = ["--ip", LOOPBACK, "--port", str(self.port)]
        data = ["--db-filename", str(self._folder / "temporal.db")]
        with self._log_file.open("ab") as log:
            self._guard = start_guarded([*command, *place, *data], self._folder, log)
        if not self._says_it_is_up(self._guard):
            self.kill()
            raise RuntimeError(f"The Temporal server did not start:\n{self._log_file.read_text()}")

    def stop(self) -> None:
        """Ask it to end with SIGTERM, and wait until it has; harmless when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once with SIGKILL; harmless when it does not run."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._guard is not None:
            end_guarded(self._guard, number)
            self._guard = None

    def _says_it_is_up(self, guard: subprocess.Popen[bytes]) -> bool:
        """Whether it announces itself, which it does once it serves; its output ends if it gives up."""
        assert guard.stdout
        return any(line.startswith(b"Temporal Server:") for line in guard.stdout)


@contextmanager
def lasting_temporal_server(folder: Path) -> Generator[TemporalServerProcess]:
    """A Temporal server of one's own, running; it can be stopped, killed and started again on its port."""
    folder.mkdir(parents=True, exist_ok=True)
    server = TemporalServerProcess(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()

"""Child processes of the benchmarks: bound to loopback, bounded in time, ended by who started them."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LOOPBACK = "127.0.0.1"
START_LIMIT_S = 30.0
STOP_LIMIT_S = 10.0
POLL_S = 0.02
RUSAGE_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024  # getrusage(2): macOS counts bytes, Linux KiB


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def own_peak_bytes() -> int:
    """The most memory that this process ever held resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RUSAGE_UNIT_BYTES


def resident_bytes(pid: int) -> int:
    """The memory that process `pid` holds resident now, as ps(1) reports it."""
    answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(answer.stdout) * 1024


class Server:
    """One server process, whose output goes to a log file."""

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self._command = command[0]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_until_listening(self, port: int) -> None:
        """Return when `port` accepts connections.

        Raises:
            RuntimeError: The process ended or stayed deaf for 30 s; the message ends with its last words.
        """
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, port)) == 0:
                    return
            time.sleep(POLL_S)
        raise RuntimeError(f"{self._command} does not listen on port {port}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what the process printed, on one line."""
        return " ".join(self.log.read_text(errors="replace").split())[-300:]

    def stop(self) -> int:
        """End the process, by force if it takes over 10 s, and return its peak resident memory in bytes."""
        if self._process.returncode is not None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        limit = time.monotonic() + STOP_LIMIT_S
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                return int(usage.ru_maxrss) * RUSAGE_UNIT_BYTES
            if time.monotonic() > limit:
                self._process.kill()
            time.sleep(POLL_S)

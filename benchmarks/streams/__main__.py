"""Live events and lessons under load, against real service processes on this machine.

Usage: `python -m benchmarks.streams [--watchers N] [--runs N …] [--events N] [--sessions N]`.
First many watchers of runs that publish once a second, then many lesson sessions at once, offline, then the
embedded streams beside those in Redis, where redis-server is installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx2

from benchmarks.paths import ROOT, scratch
from benchmarks.processes import LOOPBACK, START_LIMIT_S, Server, free_ports, resident_bytes
from benchmarks.streams.backends import measure_backends
from benchmarks.streams.limits import allow_many_sockets
from benchmarks.streams.report import Lessons, Watching, print_report
from benchmarks.streams.sessions import Completed
from benchmarks.streams.watch import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEAD_S = 3.0  # time for the signals to reach every run before its first event is due
LATENESS_LIMIT_S = 30.0
SESSIONS_LIMIT_S = 600.0
SETTLE_S = 1.0
ENVIRONMENT = {"ORCHESTRATOR_SERVER_ENABLE_METRICS": "false", "ORCHESTRATOR_TELEMETRY_LOG_LEVEL": "warning"}


@dataclass(slots=True)
class Service:
    """A service process under measurement; `peak_bytes` is known once it has ended."""

    server: Server
    port: int
    peak_bytes: int = 0


@contextmanager
def serving(command: Sequence[object], directory: Path) -> Iterator[Service]:
    """Run a service on a free port while inside."""
    (port,) = free_ports(1)
    server = Server(
        [*map(str, command), "--port", str(port)], log=directory / "service.log", environment=ENVIRONMENT
    )
    service = Service(server, port)
    try:
        server.wait_until_listening(port)
        httpx2.get(f"http://{LOOPBACK}:{port}/health", timeout=START_LIMIT_S).raise_for_status()
        yield service
    finally:
        service.peak_bytes = server.stop()


@contextmanager
def client(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a client process while inside."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def watch(directory: Path, watchers: int, runs: int, events: int) -> Watching:
    """Attach the watchers to idle runs, weigh the service, then let the runs publish."""
    command = [sys.executable, "-m", "benchmarks.streams.ticking", directory, "--runs", str(runs)]
    with serving(command, directory) as service:
        alone_bytes = resident_bytes(service.server.pid)
        limit_s = LEAD_S + events + LATENESS_LIMIT_S
        arguments = (service.port, watchers, runs, events, limit_s)
        with client("benchmarks.streams.watch", *arguments) as process:
            if process.stdout is None or process.stdout.readline() != "connected\n":
                raise RuntimeError(f"the watchers could not attach: {service.server.last_words()}")
            time.sleep(SETTLE_S)  # what connecting left behind is collected before the service is weighed
            watched_bytes = resident_bytes(service.server.pid)
            begin(service.port, events)
            answer, _ = process.communicate(timeout=limit_s + LATENESS_LIMIT_S)
    found = Watched.model_validate_json(answer)
    return Watching(
        watchers=watchers,
        runs=runs,
        delays_ms=found.delays_ms,
        missing=found.missing,
        idle_watcher_bytes=(watched_bytes - alone_bytes) / watchers,
        peak_bytes=service.peak_bytes,
    )


def begin(port: int, events: int) -> None:
    """Give every run its schedule."""
    schedule = {"first_at": time.time() + LEAD_S, "events": events}
    httpx2.post(f"http://{LOOPBACK}:{port}/begin", json=schedule, timeout=60).raise_for_status()


def teach(directory: Path, sessions: int) -> Lessons:
    """Run lesson sessions on the real service, all at once."""
    command = [Path(sys.executable).with_name("orchestrator"), "serve", "--data-dir", directory / "data"]
    with (
        serving(command, directory) as service,
        client("benchmarks.streams.sessions", service.port, sessions, SESSIONS_LIMIT_S) as process,
    ):
        answer, _ = process.communicate(timeout=SESSIONS_LIMIT_S + LATENESS_LIMIT_S)
    found = Completed.model_validate_json(answer)
    return Lessons(
        sessions=sessions,
        wall_s=found.wall_s,
        to_final_ms=found.to_final_ms,
        failures=found.failures,
        peak_bytes=service.peak_bytes,
    )


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--watchers", type=int, default=5000)
    parser.add_argument("--runs", type=int, nargs="+", default=[50, 500], help="runs that the watchers share")
    parser.add_argument("--events", type=int, default=15, help="that each run publishes, one a second")
    parser.add_argument("--sessions", type=int, default=1000)
    arguments = parser.parse_args()
    allow_many_sockets()
    watchings = []
    with TemporaryDirectory(dir=scratch()) as directory:
        for runs in arguments.runs:
            print(f"{arguments.watchers} watchers of {runs} runs", file=sys.stderr, flush=True)
            home = Path(directory, f"runs-{runs}")
            home.mkdir()
            watchings.append(watch(home, arguments.watchers, runs, arguments.events))
        print(f"{arguments.sessions} lesson sessions", file=sys.stderr, flush=True)
        home = Path(directory, "lessons")
        home.mkdir()
        lessons = teach(home, arguments.sessions)
        print("backends of streams", file=sys.stderr, flush=True)
        home = Path(directory, "backends")
        home.mkdir()
        backends = measure_backends(home)
    print_report(watchings, lessons, backends)


if __name__ == "__main__":
    main()

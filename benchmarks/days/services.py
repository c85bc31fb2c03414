"""What is under load: `orchestrator serve` with sign-in, its agents, and its tables on either database."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx2

from benchmarks.days.learners import SECRET
from benchmarks.days.load import Order, Outcome
from benchmarks.paths import ROOT
from benchmarks.processes import LOOPBACK, START_LIMIT_S, Server, free_ports
from support.postgres_server import own_postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SQLITE, POSTGRES = DATABASES = ("SQLite", "PostgreSQL")
MOST_CONNECTIONS = 25
AGENT_DELAY_MS = 100
# A learner of the benchmark goes through a day in twelve seconds, which are twelve of the clock's hours.
DAY_RUNS_PER_HOUR = 1_000_000


@contextmanager
def tables(database: str, directory: Path) -> Iterator[dict[str, str]]:
    """The settings of a fresh database, which is as durable as it comes."""
    if database == SQLITE:
        yield {}
        return
    with own_postgres_server(directory / "postgres") as server:
        yield {
            "ORCHESTRATOR_DATABASE_URL": server.databases.url(),
            # As docs/operations.md has it for a busy service: none is closed to be opened again.
            "ORCHESTRATOR_DATABASE_MAX_IDLE_CONNS": str(MOST_CONNECTIONS),
        }


class Agents:
    """All agents as one process. What they are like can be changed, and their address stays."""

    def __init__(self, directory: Path) -> None:
        (self._port,) = free_ports(1)
        self._log = directory / "agents.log"
        self._server: Server | None = None
        self.url = f"http://{LOOPBACK}:{self._port}"

    def __enter__(self) -> Self:
        self.become()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def become(self, *manners: str) -> None:
        """Answer in 100 ms from now on, or in the manner given as `AGENT=MANNER`."""
        self._stop()
        command = [sys.executable, "-m", "support.fake_agents", str(self._port)]
        command += ["--delay-ms", str(AGENT_DELAY_MS), *manners]
        self._server = Server(command, log=self._log, environment={})
        self._server.wait_until_listening(self._port)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()


@contextmanager
def service(directory: Path, settings: Mapping[str, str], agents_url: str) -> Iterator[int]:
    """The port of a service with these settings."""
    (port,) = free_ports(1)
    environment = {
        "ORCHESTRATOR_AUTH_JWT_SECRET": SECRET,
        "ORCHESTRATOR_LIMITS_DAY_RUNS_PER_HOUR": str(DAY_RUNS_PER_HOUR),
        "ORCHESTRATOR_SERVER_METRICS_PORT": "0",
        "EDGE_BASE_URL": agents_url,
        "EDGE_SERVICE_JWT": "token-of-the-benchmark",
        **settings,
    }
    command = [str(Path(sys.executable).with_name("orchestrator")), "serve", "--port", str(port)]
    command += ["--data-dir", str(directory / "data")]
    server = Server(command, log=directory / "service.log", environment=environment)
    try:
        server.wait_until_listening(port)
        httpx2.get(f"http://{LOOPBACK}:{port}/health", timeout=START_LIMIT_S).raise_for_status()
        yield port
    finally:
        server.stop()


class Load:
    """The process that makes the load; leave it to end it."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", "benchmarks.days.load", str(port)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()

    def do(self, order: Order) -> Outcome:
        """Have it do something, and wait until it is done.

        Raises:
            RuntimeError: it ended instead.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the load has no pipes")
        self._process.stdin.write(order.model_dump_json() + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load ended; its own output says why")
        return Outcome.model_validate_json(line)

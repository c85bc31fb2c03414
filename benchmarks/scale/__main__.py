"""What an engine bears: waiting, finished and killed runs in great numbers, and a service beside its work.

Usage: `python -m benchmarks.scale [--waiting N] [--journal N] [--killed N] [--busy N] [--health-s S]`.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from benchmarks.paths import ROOT, scratch
from benchmarks.processes import LOOPBACK, Server, free_ports
from benchmarks.scale.killed import IN_FLIGHT
from benchmarks.scale.multiply import finished_runs, waiting_runs
from benchmarks.scale.opening import Opened, Throughput
from benchmarks.scale.report import Beside, Scale, print_report
from benchmarks.scale.waiting import Waiting

SIGNALS = 1_000
ROUNDS = 3
WORKFLOWS = 5_000
REQUEST_EVERY_S = 0.01
LIMIT_S = 900.0
ENVIRONMENT = {"ORCHESTRATOR_SERVER_ENABLE_METRICS": "false", "ORCHESTRATOR_TELEMETRY_LOG_LEVEL": "warning"}


def measured(module: str, *arguments: object) -> str:
    """What a measurement in a process of its own printed last."""
    command = [sys.executable, "-m", f"benchmarks.scale.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr[-2_000:]}")
    return done.stdout.splitlines()[-1]


def opened(directory: Path, runs: int) -> Opened:
    """Open a journal with so many waiting runs."""
    path = directory / "waiting.db"
    waiting_runs(path, runs)
    return Opened.model_validate_json(measured("opening", path))


def slowdown(directory: Path, runs: int) -> tuple[float, float]:
    """Throughput beside no runs and beside so many finished ones, in turns; medians."""
    full = directory / "finished.db"
    finished_runs(full, runs)
    beside: dict[str, list[float]] = {"none": [], "many": []}
    for turn in range(ROUNDS):
        for name, path in (("none", directory / f"empty-{turn}.db"), ("many", full)):
            told = measured("opening", path, "--workflows", WORKFLOWS)
            beside[name].append(Throughput.model_validate_json(told).per_second)
    return statistics.median(beside["none"]), statistics.median(beside["many"])


def killed(directory: Path, runs: int) -> float:
    """Seconds from a SIGKILL, with so many runs in flight, to the last of them being in flight again."""
    path = directory / "killed.db"
    command = [sys.executable, "-m", "benchmarks.scale.killed", str(path), "--runs", str(runs)]
    with subprocess.Popen([*command, "--start"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        _await(first, IN_FLIGHT)
        first.send_signal(signal.SIGKILL)
        began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as second:
        _await(second, IN_FLIGHT)
        resumed_s = time.perf_counter() - began
        second.kill()
    return resumed_s


def beside_work(directory: Path, runs: int, seconds: float) -> Beside:
    """Times of `GET /health`, a hundred a second, from a service that runs so many workflows all the time."""
    (port,) = free_ports(1)
    module = "benchmarks.scale.busy"
    command = [sys.executable, "-m", module, str(directory / "busy.db"), "--runs", str(runs)]
    server = Server([*command, "--port", str(port)], log=directory / "busy.log", environment=ENVIRONMENT)
    times: list[float] = []
    try:
        server.wait_until_listening(port)
        with httpx2.Client(base_url=f"http://{LOOPBACK}:{port}") as client:
            client.get("/health").raise_for_status()
            end = time.perf_counter() + seconds
            while (now := time.perf_counter()) < end:
                client.get("/health").raise_for_status()
                times.append(time.perf_counter() - now)
                time.sleep(max(0.0, now + REQUEST_EVERY_S - time.perf_counter()))
    finally:
        server.stop()
    return Beside(runs=runs, times_s=times)


def _await(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None  # noqa: S101  # it was opened with a pipe
    for said in process.stdout:
        if said.strip() == line:
            return
    raise RuntimeError(f"the process ended before it was {line!r}")


def main() -> None:
    """Measure everything once and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--journal", type=int, default=1_000_000)
    parser.add_argument("--killed", type=int, default=10_000)
    parser.add_argument("--busy", type=int, default=500)
    parser.add_argument("--health-s", type=float, default=20.0)
    asked = parser.parse_args()
    with TemporaryDirectory(dir=scratch()) as folder:
        directory = Path(folder)
        told = measured("waiting", directory / "many.db", "--runs", asked.waiting, "--signals", SIGNALS)
        waiting = Waiting.model_validate(json.loads(told))
        empty, full = slowdown(directory, asked.journal)
        print_report(
            Scale(
                waiting=waiting,
                journal=asked.journal,
                opened=opened(directory, asked.journal),
                beside_none=empty,
                beside_finished=full,
                killed=asked.killed,
                resumed_s=killed(directory, asked.killed),
                beside_work=beside_work(directory, asked.busy, asked.health_s),
            )
        )


if __name__ == "__main__":
    main()

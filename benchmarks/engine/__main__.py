"""Five-step no-op workflows: this project's engine beside its peers, on this machine, in this run.

Usage: `python -m benchmarks.engine [--rounds N] [--seconds S] [--only PEER …]`. Each engine is measured in a
process of its own, in rounds A B C … A B C …, so that a machine that slows down for a while slows them all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.disk import sync_times_ms
from benchmarks.engine.measure import ANSWER_FILE, PEERS, Measurement
from benchmarks.engine.report import print_report
from benchmarks.paths import PEER_PYTHON, ROOT, scratch

VISIT_LIMIT_S = 90.0
IN_OUR_ENVIRONMENT = {"ours", "ours-models", "temporal"}
QUIET = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "DO_NOT_TRACK": "1"}


def visit(peer: str, directory: Path, seconds: float) -> Measurement | str:
    """Measure one engine once, in a new directory; a sentence instead when it could not be."""
    python = Path(sys.executable) if peer in IN_OUR_ENVIRONMENT else PEER_PYTHON
    if not python.exists():
        return f"{python.relative_to(ROOT)} is missing: scripts/install bench makes it"
    home = Path(directory, peer)
    home.mkdir()
    process = subprocess.Popen(
        [python, "-m", "benchmarks.engine.measure", peer, home, f"--seconds={seconds}"],
        cwd=ROOT,
        env=os.environ | QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # its servers are in its group, so none outlives the visit
    )
    try:
        _, complaints = process.communicate(timeout=VISIT_LIMIT_S)
        if process.returncode:
            return complaints.strip().rpartition("\n")[2] or f"ended with code {process.returncode}"
        return Measurement.model_validate_json((home / ANSWER_FILE).read_bytes())
    except subprocess.TimeoutExpired:
        return f"not done within {VISIT_LIMIT_S:.0f} s"
    finally:
        end_group(process.pid)
        shutil.rmtree(home, ignore_errors=True)


def end_group(leader: int) -> None:
    """End what is left of the process group that `leader` began."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> None:
    """Measure the engines in turn and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each level of concurrency")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    arguments = parser.parse_args()
    found: dict[str, list[Measurement]] = {peer: [] for peer in arguments.only}
    failures: dict[str, str] = {}
    syncs_ms: list[float] = []
    with TemporaryDirectory(dir=scratch()) as directory:
        for number in range(1, arguments.rounds + 1):
            syncs_ms += sync_times_ms(Path(directory))
            for peer in arguments.only:
                print(f"round {number} of {arguments.rounds}: {peer}", file=sys.stderr, flush=True)
                outcome = visit(peer, Path(directory), arguments.seconds)
                if isinstance(outcome, Measurement):
                    found[peer].append(outcome)
                else:
                    failures[peer] = outcome
    print_report(found, failures, syncs_ms, rounds=arguments.rounds)


if __name__ == "__main__":
    main()

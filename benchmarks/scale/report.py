"""How what an engine bears is printed, beside what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.figures import percentile
from benchmarks.machine import describe_machine
from benchmarks.tables import console, print_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.scale.opening import Opened
    from benchmarks.scale.waiting import Waiting

MOST_RESIDENT_BYTES = 500e6
LATEST_READY_S = 10.0
MOST_SLOWDOWN = 0.20
LATEST_WAKE_S = 0.010
LATEST_HEALTH_S = 0.050


@dataclass(frozen=True, slots=True)
class Beside:
    """Times of requests to a service beside so many running workflows."""

    runs: int
    times_s: Sequence[float]


@dataclass(frozen=True, slots=True)
class Scale:
    """All that was measured."""

    waiting: Waiting
    journal: int
    opened: Opened
    beside_none: float
    beside_finished: float
    killed: int
    resumed_s: float
    beside_work: Beside


def print_report(scale: Scale) -> None:
    """Print each aim beside its figure."""
    out = console()
    out.print(f"\nWhat the embedded engine bears. {describe_machine()}\n")
    waiting, opened = scale.waiting, scale.opened
    wake_s = percentile(waiting.wake_s, 99)
    requests_s = scale.beside_work.times_s
    health_s = percentile(requests_s, 99)
    lost = 1 - scale.beside_finished / scale.beside_none
    print_targets(
        out,
        [
            (
                f"{waiting.runs:,} waiting runs within {MOST_RESIDENT_BYTES / 1e6:.0f} MB",
                f"{waiting.resident_bytes / 1e6:.0f} MB, started in {waiting.started_s:.1f} s",
                waiting.resident_bytes <= MOST_RESIDENT_BYTES,
            ),
            (
                f"from a signal to the woken run's step: p99 within {LATEST_WAKE_S * 1e3:.0f} ms",
                f"{wake_s * 1e3:.1f} ms (p50 {percentile(waiting.wake_s, 50) * 1e3:.1f})",
                wake_s <= LATEST_WAKE_S,
            ),
            (
                f"{scale.journal:,} waiting runs ready within {LATEST_READY_S:.0f} s of a start",
                f"{opened.ready_s:.2f} s, a new run's result after {opened.first_result_s:.2f} s",
                opened.ready_s <= LATEST_READY_S,
            ),
            (
                f"{scale.journal:,} finished runs cost at most {MOST_SLOWDOWN:.0%} of throughput",
                f"{lost:.1%}: {scale.beside_finished:,.0f}/s against {scale.beside_none:,.0f}/s",
                lost <= MOST_SLOWDOWN,
            ),
            (
                f"{scale.killed:,} runs in flight at a SIGKILL, all resumed",
                f"{scale.resumed_s:.2f} s from the kill to the last one's step",
                True,
            ),
            (
                f"/health beside {scale.beside_work.runs} workflows: p99 in {LATEST_HEALTH_S * 1e3:.0f} ms",
                f"{health_s * 1e3:.1f} ms (p50 {percentile(requests_s, 50) * 1e3:.1f})",
                health_s <= LATEST_HEALTH_S,
            ),
        ],
    )

"""The table of the Temporal benchmark, and whether its target was met."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.figures import percentile
from benchmarks.machine import describe_machine
from benchmarks.tables import console, print_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AT_ONCE = (1, 50)
MOST_SLOWER_PERCENT = 15


@dataclass(frozen=True, slots=True)
class Round:
    """One visit to one of the two, by how many workflows ran at once."""

    per_second: dict[int, float] = field(default_factory=dict)
    latencies_ms: dict[int, list[float]] = field(default_factory=dict)
    processor_ms: dict[int, float] = field(default_factory=dict)
    """What a workflow costs this process, client and worker together; the server's share is not in it."""


def print_report(found: Mapping[str, Sequence[Round]], *, rounds: int) -> None:
    """Print what was measured, how, and whether the target was met."""
    out = console()
    out.print(f"\n[bold]Five-step no-op workflows on Temporal[/bold], median of {rounds} alternating rounds")
    out.print(describe_machine())
    table = Table()
    table.add_column("")
    for title in (
        "at once: 1\nper s",
        "one, p50\nms",
        "p90\nms",
        "50\nper s",
        "50, rounds\nlow-high",
        "50, processor\nms each",
    ):
        table.add_column(title, justify="right")
    for name, visits in found.items():
        latencies = [each for visit in visits for each in visit.latencies_ms[1]]
        crowded = [visit.per_second[50] for visit in visits]
        table.add_row(
            name,
            f"{_rate(visits, 1):,.1f}",
            f"{percentile(latencies, 50):,.1f}",
            f"{percentile(latencies, 90):,.1f}",
            f"{_rate(visits, 50):,.1f}",
            f"{min(crowded):,.1f}-{max(crowded):,.1f}",
            f"{median(visit.processor_ms[50] for visit in visits):,.1f}",
        )
    out.print(table)
    ours, plain = found.values()
    print_targets(
        out, [_target(ours, plain, at_once) for at_once in AT_ONCE] + [_latency_target(ours, plain)]
    )


def _rate(visits: Sequence[Round], at_once: int) -> float:
    return median(visit.per_second[at_once] for visit in visits)


def _target(ours: Sequence[Round], plain: Sequence[Round], at_once: int) -> tuple[str, str, bool]:
    slower = 100 * (1 - _rate(ours, at_once) / _rate(plain, at_once))
    return (
        f"at {at_once} at once at most {MOST_SLOWER_PERCENT} % fewer per second",
        f"{slower:+.1f} % fewer",
        slower <= MOST_SLOWER_PERCENT,
    )


def _latency_target(ours: Sequence[Round], plain: Sequence[Round]) -> tuple[str, str, bool]:
    ours_ms, plain_ms = (
        percentile([each for visit in visits for each in visit.latencies_ms[1]], 50)
        for visits in (ours, plain)
    )
    longer = 100 * (ours_ms / plain_ms - 1)
    return (
        f"one takes at most {MOST_SLOWER_PERCENT} % longer, median",
        f"{longer:+.1f} % longer",
        longer <= MOST_SLOWER_PERCENT,
    )

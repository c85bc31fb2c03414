"""The tables of the engine benchmark, and whether its targets were met."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.engine.measure import AT_ONCE, PEERS
from benchmarks.figures import percentile
from benchmarks.machine import describe_machine
from benchmarks.tables import console, print_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.engine.measure import Measurement

OURS = "ours"
OUR_ROWS = {"ours", "ours-models"}
COMPARED_AT_ONCE = 50
TARGET_PER_SECOND = 4000
TARGET_RATIO = 20
TARGET_SYNCS = 7
TARGET_BESIDE_SYNCS_MS = 0.6


@dataclass(frozen=True, slots=True)
class Row:
    """What several rounds say of one engine."""

    per_second: dict[int, float]
    """Median of the rounds, by concurrency."""
    spread: tuple[float, float]
    """Lowest and highest round at 50 at once."""
    latency_ms: tuple[float, float]
    """Median and 90th percentile of all workflows run one at a time."""
    peak_mib: float


def summarize(visits: Sequence[Measurement]) -> Row:
    """One row of at least one visit."""
    latencies = [each for visit in visits for each in visit.latencies_ms]
    compared = [visit.per_second[COMPARED_AT_ONCE] for visit in visits]
    return Row(
        per_second={level: median(visit.per_second[level] for visit in visits) for level in AT_ONCE},
        spread=(min(compared), max(compared)),
        latency_ms=(percentile(latencies, 50), percentile(latencies, 90)),
        peak_mib=max(visit.peak_bytes for visit in visits) / 2**20,
    )


def print_report(
    found: Mapping[str, Sequence[Measurement]],
    failures: Mapping[str, str],
    syncs_ms: Sequence[float],
    *,
    rounds: int,
) -> None:
    """Print what was measured, how, and which targets were met."""
    rows = {peer: summarize(visits) for peer, visits in found.items() if visits}
    out = console()
    out.print(f"\n[bold]Five-step no-op workflows[/bold], median of {rounds} interleaved rounds")
    out.print(describe_machine())
    out.print("Every engine runs on uvloop.")
    sync_p50 = percentile(syncs_ms, 50)
    out.print(
        f"fdatasync of 4 KiB on this disk: p50 {sync_p50:.3f} ms, p99 {percentile(syncs_ms, 99):.3f} ms\n"
    )
    out.print(rates(rows, found))
    out.print(settings(found))
    for peer, reason in failures.items():
        out.print(f"[red]Could not run[/red] {peer}: {reason}")
    if OURS in rows:
        print_targets(out, targets(rows, sync_p50))


def rates(rows: Mapping[str, Row], found: Mapping[str, Sequence[Measurement]]) -> Table:
    """Throughput, latency and memory of each engine."""
    table = Table()
    table.add_column("Engine")
    for title in ("at once: 1\nper s", "50\nper s", "50, rounds\nlow-high", "500\nper s"):
        table.add_column(title, justify="right")
    for title in ("one, p50\nms", "p90\nms", "ours/peer\nat 50", "peak\nMiB"):
        table.add_column(title, justify="right")
    for peer, row in rows.items():
        low, high = row.spread
        table.add_row(
            found[peer][0].name,
            f"{row.per_second[1]:,.0f}",
            f"{row.per_second[50]:,.0f}",
            f"{low:,.0f}-{high:,.0f}",
            f"{row.per_second[500]:,.0f}",
            f"{row.latency_ms[0]:,.2f}",
            f"{row.latency_ms[1]:,.2f}",
            f"{ratio(rows, peer):,.1f}" if OURS in rows and peer not in OUR_ROWS else "",
            f"{row.peak_mib:,.0f}",
        )
    return table


def settings(found: Mapping[str, Sequence[Measurement]]) -> Table:
    """What must be on disk before a step counts, and the releases measured."""
    table = Table()
    for title in ("Engine", "Versions", "Durability"):
        table.add_column(title, overflow="fold")
    for visits in found.values():
        for visit in visits[:1]:
            versions = ", ".join(f"{name} {release}" for name, release in visit.versions.items())
            table.add_row(visit.name, versions, visit.durability)
    return table


def ratio(rows: Mapping[str, Row], peer: str) -> float:
    """How many times a peer's workflows per second ours are, at 50 at once."""
    return rows[OURS].per_second[COMPARED_AT_ONCE] / rows[peer].per_second[COMPARED_AT_ONCE]


def targets(rows: Mapping[str, Row], sync_p50_ms: float) -> list[tuple[str, str, bool | None]]:
    """Each target, what was measured, and whether it was met; None where it could not be judged."""
    ours = rows[OURS]
    per_second = ours.per_second[COMPARED_AT_ONCE]
    limit_ms = TARGET_SYNCS * sync_p50_ms + TARGET_BESIDE_SYNCS_MS
    ratios = [ratio(rows, peer) for peer in rows if peer not in OUR_ROWS]
    complete = rows.keys() >= PEERS.keys()
    return [
        (
            f"at least {TARGET_PER_SECOND:,} workflows/s at {COMPARED_AT_ONCE} at once",
            f"{per_second:,.0f}/s",
            per_second >= TARGET_PER_SECOND,
        ),
        (
            f"at least {TARGET_RATIO} times the best peer at {COMPARED_AT_ONCE} at once",
            f"{min(ratios):,.1f} times" if ratios else "no peer ran",
            min(ratios) >= TARGET_RATIO if complete else None,
        ),
        (
            f"one within {TARGET_SYNCS} syncs + {TARGET_BESIDE_SYNCS_MS} ms = {limit_ms:.2f} ms, median",
            f"{ours.latency_ms[0]:.2f} ms",
            ours.latency_ms[0] <= limit_ms,
        ),
    ]

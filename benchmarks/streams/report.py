"""The tables of the streams benchmark, and whether its target was met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.disk import percentile
from benchmarks.machine import describe_machine
from benchmarks.tables import console, print_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET_WATCHERS = 5000
TARGET_DELAY_MS = 250
FAILURES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Watching:
    """One measurement of many watchers."""

    watchers: int
    runs: int
    delays_ms: list[float]
    missing: int
    idle_watcher_bytes: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Lessons:
    """One measurement of many lesson sessions at once."""

    sessions: int
    wall_s: float
    to_final_ms: list[float]
    failures: list[str]
    peak_bytes: int


def print_report(watchings: Sequence[Watching], lessons: Lessons) -> None:
    """Print what was measured, and whether the target was met."""
    out = console()
    out.print("\n[bold]Live events[/bold]: every watcher gets one event a second from one service process")
    out.print(describe_machine() + "\n")
    out.print(watching_table(watchings))
    out.print("\n[bold]Lessons[/bold]: created, run and watched over HTTP, all at once, offline composer\n")
    out.print(lessons_table(lessons))
    for failure in lessons.failures[:FAILURES_SHOWN]:
        out.print(f"[red]failed:[/red] {failure}")
    print_targets(out, [target(watching) for watching in watchings])


def watching_table(watchings: Sequence[Watching]) -> Table:
    """Delays and memory, by how many runs the watchers share."""
    table = Table()
    titles = ("watchers", "runs", "events\nreceived", "missing", "delay p50\nms", "p99\nms", "max\nms")
    for title in (*titles, "idle watcher\nKiB", "peak\nMiB"):
        table.add_column(title, justify="right")
    for each in watchings:
        table.add_row(
            f"{each.watchers:,}",
            f"{each.runs:,}",
            f"{len(each.delays_ms):,}",
            f"{each.missing:,}",
            f"{percentile(each.delays_ms, 50):,.1f}",
            f"{percentile(each.delays_ms, 99):,.1f}",
            f"{max(each.delays_ms):,.1f}",
            f"{each.idle_watcher_bytes / 1024:,.1f}",
            f"{each.peak_bytes / 2**20:,.0f}",
        )
    return table


def lessons_table(lessons: Lessons) -> Table:
    """Throughput, time to the final event, and memory."""
    table = Table()
    for title in ("sessions", "failed", "total\ns", "sessions/s", "to final, p50\ns", "p99\ns", "peak\nMiB"):
        table.add_column(title, justify="right")
    completed = lessons.to_final_ms
    enough = len(completed) > 1
    table.add_row(
        f"{lessons.sessions:,}",
        f"{len(lessons.failures):,}",
        f"{lessons.wall_s:,.1f}",
        f"{len(completed) / lessons.wall_s:,.1f}",
        f"{percentile(completed, 50) / 1000:,.2f}" if enough else "",
        f"{percentile(completed, 99) / 1000:,.2f}" if enough else "",
        f"{lessons.peak_bytes / 2**20:,.0f}",
    )
    return table


def target(watching: Watching) -> tuple[str, str, bool]:
    """The target for live events, held against one measurement."""
    p99_ms = percentile(watching.delays_ms, 99)
    return (
        f"{TARGET_WATCHERS:,} watchers, {watching.runs:,} runs: p99 within {TARGET_DELAY_MS} ms, none lost",
        f"{p99_ms:,.1f} ms, {watching.missing:,} missing",
        watching.watchers >= TARGET_WATCHERS and p99_ms <= TARGET_DELAY_MS and not watching.missing,
    )

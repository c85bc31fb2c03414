"""The tables of the streams benchmark, and whether its target was met."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.streams.backends import backends_table
from benchmarks.tables import console, print_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.figures import Spread
    from benchmarks.streams.backends import Backend

TARGET_WATCHERS = 5000
TARGET_DELAY_MS = 250
FAILURES_SHOWN = 3
NO_SPREAD = ("", "", "")


@dataclass(frozen=True, slots=True)
class Watching:
    """One measurement of many watchers."""

    watchers: int
    runs: int
    delays_ms: Spread | None
    missing: int
    idle_watcher_bytes: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Lessons:
    """One measurement of many lesson sessions at once."""

    sessions: int
    wall_s: float
    to_final_ms: Spread | None
    failures: list[str]
    peak_bytes: int


def print_report(watchings: Sequence[Watching], lessons: Lessons, backends: Sequence[Backend]) -> None:
    """Print what was measured, and whether the target was met."""
    out = console()
    out.print("\n[bold]Live events[/bold]: every watcher gets one event a second from one service process")
    out.print(describe_machine() + "\n")
    out.print(watching_table(watchings))
    out.print("\n[bold]Lessons[/bold]: created, run and watched over HTTP, all at once, offline composer\n")
    out.print(lessons_table(lessons))
    for failure in lessons.failures[:FAILURES_SHOWN]:
        out.print(f"[red]failed:[/red] {failure}")
    out.print("\n[bold]Backends of streams[/bold]: one process, entries of 200 bytes\n")
    out.print(backends_table(backends))
    if len(backends) == 1:
        out.print("Redis was not measured: redis-server is not installed (scripts/install-system).")
    print_targets(out, [target(watching) for watching in watchings])


def watching_table(watchings: Sequence[Watching]) -> Table:
    """Delays and memory, by how many runs the watchers share."""
    table = Table()
    titles = ("watchers", "runs", "events\nreceived", "missing", "delay p50\nms", "p99\nms", "max\nms")
    for title in (*titles, "idle watcher\nKiB", "peak\nMiB"):
        table.add_column(title, justify="right")
    for each in watchings:
        delays = each.delays_ms
        table.add_row(
            f"{each.watchers:,}",
            f"{each.runs:,}",
            f"{delays.count if delays else 0:,}",
            f"{each.missing:,}",
            *(
                (f"{delays.p50:,.1f}", f"{delays.p99:,.1f}", f"{delays.highest:,.1f}")
                if delays
                else NO_SPREAD
            ),
            f"{each.idle_watcher_bytes / 1024:,.1f}",
            f"{each.peak_bytes / 2**20:,.0f}",
        )
    return table


def lessons_table(lessons: Lessons) -> Table:
    """Throughput, time to the final event, and memory."""
    table = Table()
    for title in ("sessions", "failed", "total\ns", "sessions/s", "to final, p50\ns", "p99\ns", "peak\nMiB"):
        table.add_column(title, justify="right")
    to_final = lessons.to_final_ms
    table.add_row(
        f"{lessons.sessions:,}",
        f"{len(lessons.failures):,}",
        f"{lessons.wall_s:,.1f}",
        f"{(lessons.sessions - len(lessons.failures)) / lessons.wall_s:,.1f}",
        *((f"{to_final.p50 / 1000:,.2f}", f"{to_final.p99 / 1000:,.2f}") if to_final else NO_SPREAD[:2]),
        f"{lessons.peak_bytes / 2**20:,.0f}",
    )
    return table


def target(watching: Watching) -> tuple[str, str, bool]:
    """The target for live events, held against one measurement."""
    p99_ms = watching.delays_ms.p99 if watching.delays_ms else math.inf
    return (
        f"{TARGET_WATCHERS:,} watchers, {watching.runs:,} runs: p99 within {TARGET_DELAY_MS} ms, none lost",
        f"{p99_ms:,.1f} ms, {watching.missing:,} lost",
        watching.watchers >= TARGET_WATCHERS and p99_ms <= TARGET_DELAY_MS and not watching.missing,
    )

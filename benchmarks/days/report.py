"""The tables of the benchmark of days, and whether its targets were met."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.table import Table

from benchmarks.days.learners import DAY_DONE, DAY_RUN, FLOW, INTENT_SYNC, STATUS
from benchmarks.days.load import PERIOD_S
from benchmarks.machine import describe_machine
from benchmarks.tables import console, print_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.days.load import Outcome

TARGET_LEARNERS: Final = 1000
TARGETS_MS: Final = {INTENT_SYNC: 500.0, DAY_RUN: 12_000.0, DAY_DONE: 200.0, STATUS: 100.0}
TARGET_HIT_RATE: Final = 0.5
FAILURES_SHOWN: Final = 3
SHOWN_CHARS: Final = 200
CAPTION: Final = f"""\
Each learner makes one call every {PERIOD_S:.0f} s, in turn {", ".join(FLOW)}; each plan is
of the next day, each fifth intent of a new topic. Agents answer in 100 ms. Sign-in by HS256; logs and limits
at their defaults, but for limits.day_runs_per_hour at 1,000,000 (default 10): a day passes in 12 s here.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """So many learners, and what came of it."""

    learners: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured on one database. `busy` is the machine's load of the minute before."""

    database: str
    busy: float
    prepared: Outcome
    living: Step
    steps: list[Step]
    repeated: Outcome
    ill: Step


def p99_ms(outcome: Outcome, name: str) -> float:
    """The p99 of that call; endless where there is none."""
    took = outcome.took_ms.get(name)
    return took.p99 if took else math.inf


def holds(step: Step) -> bool:
    """Whether all targets were met by so many learners, and no call failed."""
    in_time = all(p99_ms(step.outcome, name) < limit_ms for name, limit_ms in TARGETS_MS.items())
    return in_time and not step.outcome.failures


def print_report(measured: Sequence[Measured]) -> None:
    """Print what was measured, and whether the targets were met."""
    out = console()
    out.print("\n[bold]Days[/bold]: many learners, an open loop: calls are due whatever the service does")
    out.print(describe_machine() + "\n")
    out.print(CAPTION + "\n")
    for each in measured:
        title = f"{each.living.learners:,} learners on {each.database}"
        out.print(calls_table(f"{title} (load of the machine before: {each.busy:.1f})", each.living.outcome))
    out.print(saturation_table(measured))
    for each in measured:
        title = f"{each.ill.learners:,} learners on {each.database}: one agent down, one slow, one flapping"
        out.print(calls_table(title, each.ill.outcome))
    for each in measured:
        for step in (each.living, each.ill):
            for failure, count in list(step.outcome.failures.items())[:FAILURES_SHOWN]:
                out.print(f"[red]failed {count:,} times:[/red] {failure[:SHOWN_CHARS]}", markup=True)
    print_targets(out, [target for each in measured for target in targets(each)])


def calls_table(title: str, outcome: Outcome) -> Table:
    """The latency of each call beside its target, and what became of all."""
    table = Table(title=title, title_justify="left", caption=about(outcome), caption_justify="left")
    for name in ("call", "calls", "p50\nms", "p99\nms", "max\nms", "target\nms"):
        table.add_column(name, justify="right")
    for name, limit_ms in TARGETS_MS.items():
        took = outcome.took_ms.get(name)
        shown = (
            (f"{took.count:,}", f"{took.p50:,.1f}", f"{took.p99:,.1f}", f"{took.highest:,.1f}")
            if took
            else ("",) * 4
        )
        table.add_row(name, *shown, f"{limit_ms:,.0f}")
    return table


def about(outcome: Outcome) -> str:
    """Failures, cache, and how punctual the load was."""
    late = outcome.sent_late_ms
    return (
        f"{sum(outcome.failures.values()):,} of {outcome.calls:,} calls failed, the warm-up's included; "
        f"cache hit rate {hit_rate(outcome):.0%}, {outcome.missing:,} signals missing, "
        f"{outcome.degraded_plans:,} plans degraded; sent late: p99 {late.p99 if late else math.nan:.1f} ms"
    )


def saturation_table(measured: Sequence[Measured]) -> Table:
    """Each step of the search, from few learners to many."""
    table = Table(title="Where it is saturated: p99 in ms by the number of learners", title_justify="left")
    for name in ("database", "learners", "calls/s", *FLOW, "failed", "targets"):
        table.add_column(name, justify="right")
    for each in measured:
        for step in sorted([each.living, *each.steps], key=lambda step: step.learners):
            table.add_row(
                each.database,
                f"{step.learners:,}",
                f"{step.learners / PERIOD_S:,.0f}",
                *(f"{p99_ms(step.outcome, name):,.0f}" for name in FLOW),
                f"{sum(step.outcome.failures.values()):,}",
                "held" if holds(step) else "broken",
            )
    return table


def hit_rate(outcome: Outcome) -> float:
    """The share of the signals that came from the cache, or that the agent confirmed."""
    signals = outcome.hits + outcome.misses + outcome.missing
    return outcome.hits / signals if signals else math.nan


def targets(measured: Measured) -> list[tuple[str, str, bool]]:
    """The targets, held against what was measured on one database."""
    name, living = measured.database, measured.living
    by_call = [
        (
            f"{name}, {TARGET_LEARNERS:,} learners: {call} p99 < {limit_ms:,.0f} ms",
            f"{p99_ms(living.outcome, call):,.0f} ms with {living.learners:,}",
            living.learners >= TARGET_LEARNERS and p99_ms(living.outcome, call) < limit_ms,
        )
        for call, limit_ms in TARGETS_MS.items()
    ]
    failed = sum(living.outcome.failures.values())
    repeats = hit_rate(measured.repeated)
    ill_failed = sum(measured.ill.outcome.failures.values())
    return [
        *by_call,
        (
            f"{name}, {TARGET_LEARNERS:,} learners: none fails",
            f"{failed:,} failed with {living.learners:,}",
            living.learners >= TARGET_LEARNERS and not failed,
        ),
        (
            f"{name}: cache hit rate of repeat runs at least {TARGET_HIT_RATE:.0%}",
            f"{repeats:.0%}",
            repeats >= TARGET_HIT_RATE,
        ),
        (
            f"{name}: one agent down, one slow, one flapping: none fails",
            f"{ill_failed:,} failed with {measured.ill.learners:,}",
            not ill_failed,
        ),
    ]

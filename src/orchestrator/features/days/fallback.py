"""The plan that is there when an agent is not: by the same rule by which our instructor makes all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.features.days.agents.composition import Signals, composed, written

if TYPE_CHECKING:
    from orchestrator.features.days.agents.signals import DailyPlan
    from orchestrator.features.days.intent import Intent

NO_SIGNALS = Signals()


def fallback_plan(intent: Intent, week: int, day: int, signals: Signals = NO_SIGNALS) -> DailyPlan:
    """A plan from the signals that there are, or from the curriculum alone. Pure: it asks nobody.

    Raises:
        ValueError: there is no such week or day (weeks begin at 1, days go from 1 to 5).
    """
    return written(intent, week, day, composed(intent, week, day, signals), signals.alex)

"""All SQL of days. Every call is one transaction."""

from orchestrator.features.days.repository.history import DayHistory
from orchestrator.features.days.repository.intents import IntentRepository
from orchestrator.features.days.repository.overview import Overview, OverviewRepository, Totals
from orchestrator.features.days.repository.sessions import SessionRepository
from orchestrator.features.days.repository.signals import SignalTable

__all__ = [
    "DayHistory",
    "IntentRepository",
    "Overview",
    "OverviewRepository",
    "SessionRepository",
    "SignalTable",
    "Totals",
]

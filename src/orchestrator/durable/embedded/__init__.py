"""The engine in process: a deterministic loop per run, one SQLite journal."""

from orchestrator.durable.checking import RunCheck
from orchestrator.durable.embedded.check import check_runs
from orchestrator.durable.embedded.engine import EmbeddedEngine
from orchestrator.durable.embedded.leaving import LeavingJournal
from orchestrator.durable.embedded.reader import JournalReader
from orchestrator.durable.embedded.stillness import Why
from orchestrator.durable.embedded.sweep import Still, Sweep, sweep_runs

__all__ = [
    "EmbeddedEngine",
    "JournalReader",
    "LeavingJournal",
    "RunCheck",
    "Still",
    "Sweep",
    "Why",
    "check_runs",
    "sweep_runs",
]

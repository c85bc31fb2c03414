"""The engine in process: a deterministic loop per run, one SQLite journal."""

from orchestrator.durable.embedded.check import RunCheck, check_runs
from orchestrator.durable.embedded.engine import EmbeddedEngine
from orchestrator.durable.embedded.reader import JournalReader

__all__ = ["EmbeddedEngine", "JournalReader", "RunCheck", "check_runs"]

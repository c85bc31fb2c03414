"""The engine in process: a deterministic loop per run, one SQLite journal."""

from orchestrator.durable.embedded.engine import EmbeddedEngine
from orchestrator.durable.embedded.reader import JournalReader

__all__ = ["EmbeddedEngine", "JournalReader"]

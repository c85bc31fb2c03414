"""The engine on a Temporal cluster."""

from __future__ import annotations

try:
    from orchestrator.durable.temporal.connection import Tls
    from orchestrator.durable.temporal.engine import TemporalEngine
    from orchestrator.durable.temporal.s3_store import S3Store
    from orchestrator.durable.temporal.value_store import DirectoryStore, ValueStore
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "temporalio":
        raise
    raise ModuleNotFoundError(
        "TemporalEngine needs the library temporalio: install Orchestrator with its extra `temporal`",
        name=missing.name,
    ) from missing

__all__ = ["DirectoryStore", "S3Store", "TemporalEngine", "Tls", "ValueStore"]

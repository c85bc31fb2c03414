"""Ordered events: append, read from an offset, wait."""

from orchestrator.streams.embedded import EmbeddedStreams
from orchestrator.streams.port import Entry, Streams

__all__ = ["EmbeddedStreams", "Entry", "Streams"]

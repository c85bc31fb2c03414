"""Ordered events: append, read from an offset, wait, share the work in groups."""

from orchestrator.streams.dead_letters import DeadLetter, dead_letters
from orchestrator.streams.embedded import EmbeddedStreams
from orchestrator.streams.port import Delivery, Entry, Group, NewEntry, Pending, Streams

__all__ = [
    "DeadLetter",
    "Delivery",
    "EmbeddedStreams",
    "Entry",
    "Group",
    "NewEntry",
    "Pending",
    "Streams",
    "dead_letters",
]

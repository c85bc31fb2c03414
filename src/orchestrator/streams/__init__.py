"""Ordered events: append, read from an offset, wait, share the work in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.streams.dead_letters import DeadLetter, dead_letters
from orchestrator.streams.embedded import EmbeddedStreams
from orchestrator.streams.port import Delivery, Entry, Group, NewEntry, Pending, Streams

if TYPE_CHECKING:
    from orchestrator.streams.redis import RedisStreams

__all__ = [
    "DeadLetter",
    "Delivery",
    "EmbeddedStreams",
    "Entry",
    "Group",
    "NewEntry",
    "Pending",
    "RedisStreams",
    "Streams",
    "dead_letters",
]


def __getattr__(name: str) -> object:
    """Load what needs the library of Redis when it is first asked for."""
    if name != "RedisStreams":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestrator.streams.redis import RedisStreams

    return RedisStreams

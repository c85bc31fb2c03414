"""How streams are called in Redis, and how what it stores is read."""

from __future__ import annotations

from typing import cast

from orchestrator.streams.dead_letters import dead_letters
from orchestrator.streams.port import Entry, Pending

# What Redis gives for an entry: its id, and names and values in turn.
RawEntry = tuple[bytes, list[bytes]]


def stem_of(prefix: str, stream: str) -> str:
    """How the keys of one stream begin.

    A stream and its dead letters have the same text in braces, by which a Redis Cluster keeps them on one
    node, since an entry moves from the one to the other in one step.
    """
    origin = stream
    while origin.endswith(dead_letters("")):
        origin = origin.removesuffix(dead_letters(""))
    return f"{{{prefix}:{origin}}}:{stream}"


def entry_of(raw: object) -> Entry:
    """An entry as the scripts store it."""
    name, (_, at, _, kind, _, key, _, data) = cast("RawEntry", raw)
    return Entry(int(name.partition(b"-")[2]), float(at), kind.decode(), key.decode(), data)


def pending_of(raw: bytes) -> Pending:
    """What is held, as the scripts store it."""
    offset, count, at, _, consumer = raw.split(b" ", 4)
    return Pending(int(offset), consumer.decode(), float(at), int(count))

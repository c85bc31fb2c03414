"""Streams in Redis, for as many processes as share them."""

from __future__ import annotations

try:
    from orchestrator.streams.redis.streams import RedisStreams
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "redis":
        raise
    raise ModuleNotFoundError(
        "RedisStreams needs the library redis: install Orchestrator with its extra `redis`",
        name=missing.name,
    ) from missing

__all__ = ["RedisStreams"]

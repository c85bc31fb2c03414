"""Streams in Redis, for the tests of what is Redis's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.redis_server import RedisServer, own_redis_server
from support.stream_lab import RedisLab, on_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these need a Redis server."""
    for item in items:
        if "streams/redis" in item.path.as_posix():
            item.add_marker(pytest.mark.redis)


@pytest.fixture
async def lab(redis_url: str) -> AsyncIterator[RedisLab]:
    """Streams in the session's Redis, under a prefix of the test's own."""
    async with on_redis(redis_url) as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, which syncs every write."""
    with own_redis_server(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def own_lab(server: RedisServer) -> AsyncIterator[RedisLab]:
    """Streams in a Redis that the test can stop."""
    async with on_redis(server.url) as opened:
        yield opened

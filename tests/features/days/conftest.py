"""What tests of the days room ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from support.days_room import DaysRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, MutableMapping
    from pathlib import Path

    from support.tables import Tables


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[DaysRoom]:
    """The room on a SQLite file."""
    async with DaysRoom(tmp_path) as room:
        yield room


@pytest.fixture
async def any_room(tmp_path: Path, tables: Tables) -> AsyncIterator[DaysRoom]:
    """The room on a SQLite file, and once more on PostgreSQL."""
    async with DaysRoom(tmp_path, tables) as room:
        yield room


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log lines of the test, not printed: tracebacks with all their locals take seconds."""
    with capture_logs() as lines:
        yield lines

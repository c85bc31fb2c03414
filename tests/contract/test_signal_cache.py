"""What every cache of agents' signals promises."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import pytest

from orchestrator.agents.remote import CachedSignal
from orchestrator.features.days.repository import IntentRepository, SignalTable
from orchestrator.features.days.schemas import IntentSync
from orchestrator.testing import ManualClock
from orchestrator.web.events import Outbox
from support.memory_signals import MemorySignals
from support.tables import Tables, postgres_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pydantic import JsonValue

    from orchestrator.agents.remote import SignalCache
    from orchestrator.db import Database

FIRST = CachedSignal({"level": 2}, '"v1"', 1_767_225_600.125, 1_767_225_601.5)
CHANGED = CachedSignal({"level": 3}, None, 1_767_312_000.0, 1_767_312_000.0)
ALL_JSON: list[JsonValue] = [
    None,
    True,
    0,
    -1.5,
    2**53,
    "",
    "Größe 🎓 \x01",
    [],
    {},
    {"a": [1, {"b": None}]},
    [[["deep"]]],
    "x" * 100_000,
]


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def signal_cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SignalCache]:
    """An empty cache."""
    if request.param == "memory":
        yield MemorySignals()
    elif request.param == "sqlite":
        async with Tables(tmp_path / "tables.db").database() as database:
            yield await _of_learners(database)
    else:
        async with (
            postgres_tables(request.getfixturevalue("postgres"), tmp_path) as tables,
            tables.database() as database,
        ):
            yield await _of_learners(database)


async def _of_learners(database: Database) -> SignalTable:
    """The table of those who learn something; of others nothing is kept."""
    intents = IntentRepository(database, Outbox(database, _no_streams, ManualClock(0.0)))
    wanted = IntentSync(topic="Pottery", depth="surface", end_goal="A bowl", time_per_day_min=20)
    for owner in ("ada", "bob"):
        await intents.sync(owner, wanted, datetime(2025, 1, 19, tzinfo=UTC))
    return SignalTable(database)


def _no_streams() -> NoReturn:
    raise AssertionError("events stay in the outbox here")


async def test_nothing_is_kept_at_first(signal_cache: SignalCache) -> None:
    """And that is no error."""
    assert await signal_cache.get("ada", "clo", "k1") is None


async def test_the_last_signal_comes_back_as_it_was_put(signal_cache: SignalCache) -> None:
    """As a whole, with its times to the millisecond."""
    await signal_cache.put("ada", "clo", "k1", FIRST)
    assert await signal_cache.get("ada", "clo", "k1") == FIRST
    await signal_cache.put("ada", "clo", "k1", CHANGED)
    assert await signal_cache.get("ada", "clo", "k1") == CHANGED


async def test_the_last_one_stays_whatever_its_times_say(signal_cache: SignalCache) -> None:
    """A clock that was set back makes nothing stay for longer."""
    await signal_cache.put("ada", "clo", "k1", CHANGED)
    await signal_cache.put("ada", "clo", "k1", FIRST)
    assert await signal_cache.get("ada", "clo", "k1") == FIRST


async def test_all_json_is_kept(signal_cache: SignalCache) -> None:
    """Also none at all, which is not the same as nothing kept."""
    signals = {f"k{number}": CachedSignal(data, None, 1.0, 2.0) for number, data in enumerate(ALL_JSON)}
    for key, signal in signals.items():
        await signal_cache.put("ada", "clo", key, signal)
    assert {key: await signal_cache.get("ada", "clo", key) for key in signals} == signals


async def test_owners_agents_and_questions_have_their_own(signal_cache: SignalCache) -> None:
    """What differs in one of them is another signal."""
    await signal_cache.put("ada", "clo", "k1", FIRST)
    for other in (("bob", "clo", "k1"), ("ada", "ta", "k1"), ("ada", "clo", "k2")):
        assert await signal_cache.get(*other) is None
        await signal_cache.put(*other, CHANGED)
        assert await signal_cache.get(*other) == CHANGED
    assert await signal_cache.get("ada", "clo", "k1") == FIRST

"""What every cache of agents' signals promises. A room adds its own to ``signal_cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.agents.remote import CachedSignal
from support.memory_signals import MemorySignals

if TYPE_CHECKING:
    from pydantic import JsonValue

    from orchestrator.agents.remote import SignalCache

FIRST = CachedSignal({"level": 2}, '"v1"', 1_767_225_600.125, 1_767_225_601.5)
CHANGED = CachedSignal({"level": 3}, None, 1_767_312_000.0, 1_767_312_000.0)


@pytest.fixture
def signal_cache() -> SignalCache:
    """An empty cache."""
    return MemorySignals()


async def test_nothing_is_kept_at_first(signal_cache: SignalCache) -> None:
    """And that is no error."""
    assert await signal_cache.get("ada", "clo", "k1") is None


async def test_a_signal_comes_back_as_it_was_put(signal_cache: SignalCache) -> None:
    """With its times to the millisecond."""
    await signal_cache.put("ada", "clo", "k1", FIRST)
    assert await signal_cache.get("ada", "clo", "k1") == FIRST


@pytest.mark.parametrize(
    "data",
    [
        None,
        True,
        0,
        -1.5,
        "",
        "Größe 🎓 \x01",
        [],
        {},
        {"a": [1, {"b": None}]},
        [[["deep"]]],
        2**53,
        "x" * 100_000,
    ],
    ids=range(12),
)
async def test_all_json_is_kept(signal_cache: SignalCache, data: JsonValue) -> None:
    """Also none at all, which is not the same as nothing kept."""
    signal = CachedSignal(data, None, 1.0, 2.0)
    await signal_cache.put("ada", "clo", "k1", signal)
    assert await signal_cache.get("ada", "clo", "k1") == signal


async def test_the_last_one_is_kept(signal_cache: SignalCache) -> None:
    """In place of the one before, as a whole."""
    await signal_cache.put("ada", "clo", "k1", FIRST)
    await signal_cache.put("ada", "clo", "k1", CHANGED)
    assert await signal_cache.get("ada", "clo", "k1") == CHANGED


@pytest.mark.parametrize(
    "other",
    [("bob", "clo", "k1"), ("ada", "ta", "k1"), ("ada", "clo", "k2")],
    ids=["owner", "agent", "question"],
)
async def test_owners_agents_and_questions_have_their_own(
    signal_cache: SignalCache, other: tuple[str, str, str]
) -> None:
    """What differs in one of them is another signal."""
    await signal_cache.put("ada", "clo", "k1", FIRST)
    assert await signal_cache.get(*other) is None
    await signal_cache.put(*other, CHANGED)
    assert await signal_cache.get("ada", "clo", "k1") == FIRST
    assert await signal_cache.get(*other) == CHANGED

"""Knowing that an engine has nothing to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchestrator import EmbeddedEngine
from orchestrator.core.turns import TURN_S
from orchestrator.durable.embedded.settling import QUIET_TURNS

if TYPE_CHECKING:
    from pathlib import Path


async def test_an_engine_with_calls_in_turn_is_not_settled(tmp_path: Path) -> None:
    """Much that is ready at once takes many turns of the loop, and all of it counts."""
    made: list[int] = []

    def call(number: int) -> None:
        time.sleep(TURN_S)  # so that the next call has to wait for the loop's next turn
        made.append(number)

    async with EmbeddedEngine(tmp_path / "runs.db") as engine:
        assert engine._services is not None
        for number in range(4 * QUIET_TURNS):
            engine._services.journal.turns.add(call, number)
        await engine.settled()
        assert made == list(range(4 * QUIET_TURNS))

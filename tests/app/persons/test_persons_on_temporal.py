"""A person's runs on a Temporal cluster are found by their owner, and go too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.persons.test_persons import ADA, BOB, HERS, HIS, house, waits
from orchestrator.core.ids import new_id

if TYPE_CHECKING:
    from pathlib import Path

    from support.services import TemporalServer


@pytest.mark.temporal
async def test_runs_of_a_person_are_ended_and_gone(temporal_server: TemporalServer, tmp_path: Path) -> None:
    """Open ones and ended ones; another person's go on."""
    cluster = {
        "engine": "temporal",
        "temporal.host_port": temporal_server.address,
        "temporal.task_queue": new_id(),
    }
    ada, bob = f"{ADA}-{new_id()}", f"{BOB}-{new_id()}"
    async with house(tmp_path, **cluster) as service:
        engine = service.service.engine
        await service.lesson(ada, HERS)
        for user, word in ((ada, HERS), (bob, HIS)):
            await engine.start(waits, word, id=f"{user}-waits", owner=user)
            await engine.schedule(waits, word, id=f"{user}-daily", cron="@daily", owner=user)
        found = await service.exported(ada)
        assert len(found["runs.jsonl"]) == 2
        assert HERS in str(found)

        erased = (await service.asked("persons/erase", user=ada)).json()
        assert (erased["rooms"], erased["runs"], erased["schedules"]) == ({"lessons": 1}, 1, 1)
        assert set(await service.exported(ada)) == {"about.json"}
        assert {ada, bob} & {schedule.owner for schedule in await engine.schedules()} == {bob}
        assert not (await (await engine.get(f"{bob}-waits")).describe()).status.closed
        await service.asked("persons/erase", user=bob)

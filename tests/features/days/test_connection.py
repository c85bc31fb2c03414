"""The line to our own agents, within this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import pytest

from orchestrator.agents.remote import AgentError, AgentErrorCode, AgentRequest
from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from orchestrator.features.days.agents import routes
from orchestrator.features.days.agents.service import AgentService
from orchestrator.features.days.asking import ENDPOINTS
from orchestrator.features.days.connection import AgentConnection
from orchestrator.features.days.day import SOCRATIC
from support.scripted_agent import settled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.features.days.agents.history import DayDone
    from orchestrator.features.days.intent import Intent


class BrokenHistory:
    """A mistake of ours in what our agents read."""

    async def intent(self, user: str, topic: str) -> Intent | None:
        """Fail as no error of the house does."""
        self._fail(user, topic)

    async def days_done(self, user: str, topic: str) -> list[DayDone]:
        """Fail likewise."""
        self._fail(user, topic)

    def _fail(self, user: str, topic: str) -> NoReturn:
        raise RuntimeError(user, topic)


def broken(*_: object) -> NoReturn:
    """A mistake in what words the refusals of agents, too."""
    raise RuntimeError


@pytest.mark.parametrize("wording", [routes._refused, broken])
async def test_a_mistake_in_our_own_agent_is_an_agent_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wording: Callable[..., object]
) -> None:
    """As if it were elsewhere: the day goes on without it, and its run does not fail with our exception."""
    monkeypatch.setattr(routes, "_refused", wording)
    with built(load_settings(None, {"data_dir": tmp_path})) as service:
        resources = service.resources
        async with AgentConnection(resources, AgentService(BrokenHistory(), resources.clock)) as connection:
            asked = AgentRequest(
                SOCRATIC, ENDPOINTS[SOCRATIC].path, query={"user_id": "ada", "topic": "Tides"}
            )
            with pytest.raises(AgentError) as failed:
                # No second attempt begins in so short a time.
                await connection.client.call(asked, start_by=resources.clock.time() + 0.5)
    assert failed.value.code is AgentErrorCode.AGENT_ERROR
    assert "failed (500" in failed.value.message


async def test_what_is_read_for_nobody_any_more_ends_before_the_line_does(tmp_path: Path) -> None:
    """The database is closed after it, and nobody may use it then."""
    with built(load_settings(None, {"data_dir": tmp_path})) as service:
        resources = service.resources
        line = AgentConnection(resources, AgentService(BrokenHistory(), resources.clock))
        async with resources.database:
            async with resources.database.session("ada"):  # for whose end all others wait on a SQLite file
                asked = line.signals.get(
                    SOCRATIC, owner="ada", query={"topic": "Tides"}, deadline=resources.clock.time() + 60
                )
                asking = asyncio.create_task(asked)
                await settled()
                leaving = asyncio.create_task(line.__aexit__())
                await settled()
                assert not (await asking).available
                assert not leaving.done()
            await leaving
        assert asyncio.all_tasks() == {asyncio.current_task()}

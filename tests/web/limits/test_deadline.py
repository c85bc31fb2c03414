"""How long a request may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.core.settings import ServerSettings

if TYPE_CHECKING:
    import httpx2

    from support.sample_room import SampleRoom


@pytest.fixture
def server_settings() -> ServerSettings:
    """A service that gives up almost at once."""
    return ServerSettings(request_timeout_s=0.05)


async def test_what_takes_too_long_is_stopped(client: httpx2.AsyncClient, room: SampleRoom) -> None:
    """504 as a problem document; the handler is cancelled rather than left behind."""
    answer = await client.get("/waits")

    assert room.going_on.is_set()
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert answer.headers["x-request-id"]


async def test_what_is_quick_enough_is_not_touched(client: httpx2.AsyncClient, room: SampleRoom) -> None:
    """The deadline is for each request alone."""
    room.may_go_on.set()

    assert (await client.get("/waits")).json() == {"waited": "yes"}

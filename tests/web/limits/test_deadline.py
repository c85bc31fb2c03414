"""How long a request may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from orchestrator.core.settings import ServerSettings, Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.auth.access import Anyone
from orchestrator.web.feature import Feature
from support.loop_clock import loop_clock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

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


@pytest.mark.parametrize(
    ("pause_s", "parts_sent"), [(0.9, 10), (1.1, 1)], ids=["that goes on", "that stands still"]
)
async def test_an_answer_that_is_made_while_it_is_sent_has_the_time_for_each_part(
    pause_s: float, parts_sent: int
) -> None:
    """Ten parts may take ten times as long; one that comes too late is not waited for."""
    router, sent = APIRouter(), []

    @router.get("/parts")
    async def parts(_: Anyone) -> StreamingResponse:
        async def made() -> AsyncGenerator[bytes]:
            for number in range(10):
                sent.append(number)
                yield b"part"
                await clock.advance(pause_s)

        return StreamingResponse(made())

    app = create_app(House(Settings(server=ServerSettings(request_timeout_s=1))), [Feature("sample", router)])
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
        with loop_clock() as clock:
            await http.get("/parts")
    assert len(sent) == parts_sent

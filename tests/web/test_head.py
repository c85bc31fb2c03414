"""HEAD answers as GET does, without the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator.app.server import Server

if TYPE_CHECKING:
    from fastapi import FastAPI

    from orchestrator.core.settings import ServerSettings
    from support.sample_room import SampleRoom


@pytest.mark.parametrize("path", ["/health", "/ready", "/things", "/things/t1", "/openapi.json"])
async def test_head_gives_the_headers_of_get(
    app: FastAPI, server_settings: ServerSettings, path: str
) -> None:
    """Status, type and length are those of GET, problems included, and the connection stays usable."""
    async with (
        Server(app, server_settings, handle_signals=False).running() as url,
        httpx2.AsyncClient(base_url=url) as client,
    ):
        got, head = await client.get(path), await client.head(path)

    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    assert len(head.headers["content-length"]) == len(
        str(len(got.content))
    )  # the time in it may vary a little
    assert head.content == b""


async def test_head_has_no_effect_where_get_has_one(client: httpx2.AsyncClient, room: SampleRoom) -> None:
    """A stream may start a run when it is asked for, so it keeps to the methods that it names."""
    answer = await client.head("/events")

    assert answer.status_code == 405
    assert not room.going_on.is_set()


async def test_an_address_names_head_among_what_it_takes(client: httpx2.AsyncClient) -> None:
    """``Allow`` lists HEAD exactly where it is answered."""
    allowed = [(await client.put(path)).headers["allow"] for path in ("/things", "/waits")]

    assert allowed == ["GET, HEAD, POST", "GET"]


async def test_the_first_head_is_answered_as_quickly_as_the_next(
    app: FastAPI, client: httpx2.AsyncClient
) -> None:
    """The description of the whole service is not made for it: that holds up everybody for half a second."""
    await client.head("/things")
    assert (await client.put("/things")).status_code == 405

    assert app.openapi_schema is None

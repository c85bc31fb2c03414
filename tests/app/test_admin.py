"""The routes for runs: who may use them, and what they answer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from pydantic import BaseModel

from orchestrator import Context, Limit, step, workflow
from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from orchestrator.durable.runs import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.app.wiring import Service


class Order(BaseModel):
    """An input of more than one part."""

    drink: str
    cups: int = 1


@step
async def pour(cups: int) -> int:
    """Pour some cups."""
    return cups


@workflow
async def serve(ctx: Context, order: Order) -> str:
    """Pour what was ordered."""
    poured = await ctx.run(pour, order.cups)
    return f"{poured} {order.drink}"


@workflow
async def waits(ctx: Context) -> str:
    """Wait for a word, and clean up for as long as it takes."""
    try:
        return await ctx.receive("word", str)
    finally:
        await ctx.receive("clean", str)


@workflow(limits=[Limit(1)])
async def alone(ctx: Context) -> str:
    """Be the only one."""
    return await ctx.receive("word", str)


@asynccontextmanager
async def serving(data_dir: Path) -> AsyncIterator[tuple[Service, httpx2.AsyncClient]]:
    """A service with a finished run `first`, and a client that does not know the token."""
    with built(load_settings(None, {"data_dir": data_dir})) as service:
        service.engine.add(workflows=[serve, waits, alone], steps=[pour])
        async with (
            service.app.router.lifespan_context(service.app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=service.app), base_url="http://127.0.0.1"
            ) as client,
        ):
            run = await service.engine.start(serve, Order(drink="tea"), id="first")
            await run.result()
            yield service, client


async def test_runs_are_forked_by_who_knows_the_token_alone(tmp_path: Path) -> None:
    """No token: 401. A wrong one: 403. The right one and no such run: 404. Nothing was started."""
    async with serving(tmp_path) as (service, client):
        right = {"Authorization": f"Bearer {service.claim.token}"}
        wrong = {"Authorization": "Bearer wrong"}
        for headers, run_id, status in (({}, "first", 401), (wrong, "first", 403), (right, "none", 404)):
            answer = await client.post(
                f"/api/v1/runs/{run_id}/fork", json={"from_step": "pour"}, headers=headers
            )
            assert answer.status_code == status
        assert len(await service.engine.list()) == 1


async def test_a_fork_is_started_with_what_was_asked_for(tmp_path: Path) -> None:
    """The same input or another one, under an id of its own or a new one."""
    async with serving(tmp_path) as (service, client):
        client.headers["Authorization"] = f"Bearer {service.claim.token}"
        same = await client.post("/api/v1/runs/first/fork", json={"from_step": "1:pour"})
        assert same.status_code == 201
        assert same.json()["forked_from"] == "first"
        assert await (await service.engine.get(same.json()["id"])).result() == "1 tea"
        wanted = {"from_step": "pour", "input": {"drink": "cocoa", "cups": 2}, "id": "second"}
        other = await client.post("/api/v1/runs/first/fork", json=wanted)
        assert other.json() == {"id": "second", "forked_from": "first"}
        assert await (await service.engine.get("second")).result() == "2 cocoa"


async def test_a_fork_that_cannot_be_is_refused_with_the_reason(tmp_path: Path) -> None:
    """An unknown step or field, an input of another type, and an id that is taken."""
    async with serving(tmp_path) as (service, client):
        client.headers["Authorization"] = f"Bearer {service.claim.token}"
        for wanted, status, said in (
            ({}, 400, "name the step to begin with"),
            ({"from_step": "none"}, 400, "no step 'none'; its steps are 1:pour"),
            ({"from_step": "1", "input": {"cups": 2}}, 400, "drink: Field required"),
            ({"from_step": "1", "input": None}, 400, "the input of serve"),
            ({"from_step": "1", "id": "first"}, 409, "'first' exists"),
        ):
            answer = await client.post("/api/v1/runs/first/fork", json=wanted)
            assert answer.status_code == status
            assert said in answer.json()["detail"]
        assert (await client.post("/api/v1/runs/first/fork", json={"step": "1"})).status_code in {400, 422}
        assert len(await service.engine.list()) == 1


async def test_runs_are_paused_and_resumed_by_who_knows_the_token(tmp_path: Path) -> None:
    """401, 403 and 404 as for a fork; what changed is told; an ended run is a conflict."""
    async with serving(tmp_path) as (service, client):
        run = await service.engine.start(waits, id="waits")
        right = {"Authorization": f"Bearer {service.claim.token}"}
        wrong = {"Authorization": "Bearer wrong"}
        for verb in ("pause", "resume"):
            for headers, run_id, status in (({}, "waits", 401), (wrong, "waits", 403), (right, "none", 404)):
                answer = await client.post(f"/api/v1/runs/{run_id}/{verb}", headers=headers)
                assert answer.status_code == status
        assert (await run.describe()).status is Status.WAITING

        client.headers.update(right)
        paused = await client.post("/api/v1/runs/waits/pause")
        assert paused.json() == {"id": "waits", "was": "waiting", "status": "paused", "reason": ""}
        assert (await run.describe()).status is Status.PAUSED
        resumed = await client.post("/api/v1/runs/waits/resume")
        assert (resumed.json()["was"], resumed.json()["status"]) == ("paused", "waiting")

        for verb, said in (("pause", "cannot be paused"), ("resume", "cannot be resumed")):
            refused = await client.post(f"/api/v1/runs/first/{verb}")
            assert refused.status_code == 409
            assert said in refused.json()["detail"]


async def test_a_resume_tells_what_a_pending_run_waits_for(tmp_path: Path) -> None:
    """It has not begun, so there is nothing to go on with yet."""
    async with serving(tmp_path) as (service, client):
        client.headers["Authorization"] = f"Bearer {service.claim.token}"
        for name in ("runs", "waits"):
            await service.engine.start(alone, id=name)
        answer = await client.post("/api/v1/runs/waits/resume")
        assert answer.json()["status"] == "pending"
        assert answer.json()["reason"].startswith("waits for a place in limit 'alone'")


async def test_a_cancel_by_force_ends_what_does_not_end_by_itself(tmp_path: Path) -> None:
    """Its code would clean up for ever; the answer comes once it has ended. A wrong time is refused."""
    async with serving(tmp_path) as (service, client):
        client.headers["Authorization"] = f"Bearer {service.claim.token}"
        run = await service.engine.start(waits, id="waits")
        for wrong in (-1, "soon"):
            refused = await client.post("/api/v1/runs/waits/cancel", json={"force_after": wrong})
            assert refused.status_code == 400
        answer = await client.post("/api/v1/runs/waits/cancel", json={"force_after": 0.05})
        assert answer.json() == {"id": "waits", "was": "waiting", "status": "terminated"}
        assert (await run.describe()).status is Status.TERMINATED

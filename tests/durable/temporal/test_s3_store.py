"""Large values in S3, against moto's server: what a bucket keeps, and what is said when it is away."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.server import ThreadedMotoServer

from orchestrator import Context, TemporalEngine, step, workflow
from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.durable.temporal.s3_store import S3Store
from orchestrator.durable.temporal.value_store import folder_of
from support.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Generator

    from support.services import TemporalServer

pytestmark = pytest.mark.temporal

LARGE = 100 * 1024
KEY = "sesame"


@step
async def double(text: str) -> str:
    """Give it twice."""
    return text + text


@workflow
async def doubled(ctx: Context, text: str) -> str:
    """Give the input twice."""
    return await ctx.run(double, text)


@pytest.fixture(autouse=True)
def _no_buckets() -> None:
    """What moto keeps outlives its servers, in this process."""
    moto_api_backend.reset()


@contextmanager
def bucket_server(port: int) -> Generator[str]:
    """The address of a server of S3."""
    server = ThreadedMotoServer(LOOPBACK, port, verbose=False)
    server.start()
    try:
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.stop()


def store_at(address: str) -> S3Store:
    """A store in the bucket of this file."""
    return S3Store(
        "values", endpoint_url=address, region="us-east-1", access_key_id="me", secret_access_key=KEY
    )


async def make_bucket(store: S3Store) -> None:
    """As an operator does."""
    await store._connected().create_bucket(Bucket="values")


async def test_a_bucket_keeps_lists_and_forgets(free_port: int) -> None:
    """Folder by folder."""
    with bucket_server(free_port) as address:
        async with store_at(address) as store:
            await make_bucket(store)
            for key in ("ns/a/1", "ns/a/2", "ns/ab/1", "other/a/1"):
                await store.put(key, key.encode())
            assert await store.get("ns/a/2") == b"ns/a/2"
            assert [folder async for folder, _ in store.folders("ns")] == ["ns/a", "ns/ab"]
            await store.remove("ns/a")
            await store.remove("ns/nothing")
            assert [folder async for folder, _ in store.folders("ns")] == ["ns/ab"]
            with pytest.raises(NotFoundError):
                await store.get("ns/a/2")


async def test_a_bucket_that_is_away_is_named(free_port: int) -> None:
    """With its address and without the key; so is one that was never made."""
    async with store_at(f"http://{LOOPBACK}:{free_port}") as store:
        with pytest.raises(UnavailableError, match=f"the bucket values at .*{free_port}") as away:
            await store.put("ns/a/1", b"")
        assert KEY not in str(away.value)
        with bucket_server(free_port), pytest.raises(UnavailableError, match="NoSuchBucket"):
            await store.put("ns/a/1", b"")


async def test_runs_keep_their_large_values_in_the_bucket(
    temporal_server: TemporalServer, free_port: int
) -> None:
    """And a deleted run leaves none."""
    with bucket_server(free_port) as address:
        store = store_at(address)
        async with TemporalEngine(
            temporal_server.address,
            workflows=[doubled],
            steps=[double],
            task_queue=f"s3-{uuid.uuid4()}",
            value_store=store,
        ) as engine:
            await make_bucket(store)
            run = await engine.start(doubled, "x" * LARGE)
            assert len(await run.result()) == 2 * LARGE
            folders = [folder async for folder, _ in store.folders("default")]
            assert folders == [folder_of("default", run.id)]
            await engine.delete(run.id)
            assert [folder async for folder, _ in store.folders("default")] == []


async def test_a_result_waits_for_a_bucket_that_is_away(
    temporal_server: TemporalServer, free_port: int
) -> None:
    """Its step does not run again."""
    calls = []
    was_left = asyncio.Event()

    @step(name="double")
    async def double_and_close(text: str) -> str:
        calls.append(text)
        await asyncio.to_thread(servers.close)
        was_left.set()
        return text + text

    address = f"http://{LOOPBACK}:{free_port}"
    engine = TemporalEngine(
        temporal_server.address,
        workflows=[doubled],
        steps=[double_and_close],
        task_queue=f"s3-{uuid.uuid4()}",
        value_store=(store := store_at(address)),
    )
    async with engine:
        with ExitStack() as servers:
            servers.enter_context(bucket_server(free_port))
            await make_bucket(store)
            run = await engine.start(doubled, "x" * LARGE)
            await was_left.wait()
        with bucket_server(free_port):
            assert len(await run.result()) == 2 * LARGE
    assert len(calls) == 1

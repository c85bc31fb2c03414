"""Large values of runs on Temporal: where they are kept, and what happens when that place is away."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator import Context, TemporalEngine, step, workflow
from orchestrator.core.errors import ConflictError, NotFoundError, PayloadTooLargeError, UnavailableError
from orchestrator.durable.errors import RunFailedError
from orchestrator.durable.temporal.value_store import DirectoryStore, folder_of, run_of
from support.contract_lab import Gates

if TYPE_CHECKING:
    from pathlib import Path

    from support.services import TemporalServer

pytestmark = pytest.mark.temporal

LARGE = 100 * 1024


@step
async def double(text: str) -> str:
    """Give it twice."""
    return text + text


@workflow
async def doubled(ctx: Context, text: str) -> str:
    """Give the input twice."""
    return await ctx.run(double, text)


@workflow
async def fan_out(ctx: Context, count: int) -> int:
    """Have many steps at once, with large arguments and results."""
    texts = await ctx.map(double, [f"{number}" + "x" * LARGE for number in range(count)], at_once=count)
    return sum(map(len, texts))


@workflow
async def gate_with(ctx: Context, text: str) -> int:
    """Wait at a gate between two large results."""
    first = await ctx.run(double, text)
    await ctx.run(Gates.wait, "gate")
    return len(first + await ctx.run(double, text))


class Moody(DirectoryStore):
    """A directory that can be away."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.is_away = False
        self.was_refused = asyncio.Event()

    async def put(self, key: str, data: bytes) -> None:
        """Keep it, if there."""
        self._check()
        await super().put(key, data)

    async def get(self, key: str) -> bytes:
        """Read it, if there."""
        self._check()
        return await super().get(key)

    def _check(self) -> None:
        if self.is_away:
            self.was_refused.set()
            raise UnavailableError("the directory is away")


def engine_on(server: TemporalServer, store: DirectoryStore | Path | None, *steps: object) -> TemporalEngine:
    """An engine of this file's workflows, on a task queue of its own."""
    return TemporalEngine(
        server.address,
        workflows=[doubled, fan_out, gate_with],
        steps=[double, *steps],
        task_queue=f"values-{uuid.uuid4()}",
        value_store=store,
    )


async def test_many_values_of_medium_size_cross_at_once(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    """More than a server takes in one message, and more than it keeps in one history."""
    async with engine_on(temporal_server, tmp_path) as engine:
        run = await engine.start(fan_out, 250)
        assert await run.result() == sum(2 * (len(f"{number}") + LARGE) for number in range(250))


async def test_without_a_store_too_much_at_once_is_refused_in_words(
    temporal_server: TemporalServer,
) -> None:
    """The server would end the run without a word of what was wrong."""
    async with engine_on(temporal_server, None) as engine:
        with pytest.raises(RunFailedError, match=r"does not carry at once.*at_once.*value_store"):
            await (await engine.start(fan_out, 100)).result()


async def test_a_step_that_cannot_keep_its_result_waits_and_does_not_run_again(
    temporal_server: TemporalServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each pause is logged with the step and the reason."""
    store, calls = Moody(tmp_path), []

    @step(name="double")
    async def double_and_leave(text: str) -> str:
        calls.append(text)
        store.is_away = True
        return text + text

    engine = TemporalEngine(
        temporal_server.address,
        workflows=[doubled],
        steps=[double_and_leave],
        task_queue=f"values-{uuid.uuid4()}",
        value_store=store,
    )
    async with engine:
        with caplog.at_level(logging.WARNING):
            run = await engine.start(doubled, "x" * LARGE, id=f"waits-{uuid.uuid4()}")
            await store.was_refused.wait()
        assert "the directory is away; trying again" in caplog.text
        store.is_away = False
        assert len(await run.result()) == 2 * LARGE
    assert len(calls) == 1


async def test_a_run_whose_values_are_away_goes_on_when_they_are_back(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    """Nothing is lost, whether code or a step needs them."""
    store, gates = Moody(tmp_path), Gates()
    async with engine_on(temporal_server, store, gates) as engine:
        run = await engine.start(gate_with, "x" * LARGE)
        await gates.reached("gate")
        store.is_away = True
        gates.open("gate")
        await store.was_refused.wait()
        store.is_away = False
        assert await run.result() == 4 * LARGE


async def test_a_start_whose_input_cannot_be_kept_is_refused(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    """With the reason, and nothing has begun."""
    store = Moody(tmp_path)
    async with engine_on(temporal_server, store) as engine:
        store.is_away = True
        with pytest.raises(UnavailableError, match="the directory is away"):
            await engine.start(doubled, "x" * LARGE, id="never")
        with pytest.raises(NotFoundError):
            await engine.get("never")


async def test_a_deleted_run_leaves_no_values(temporal_server: TemporalServer, tmp_path: Path) -> None:
    """While those of others stay."""
    async with engine_on(temporal_server, tmp_path) as engine:
        gone, stays = [await engine.start(doubled, f"{name}" + "x" * LARGE) for name in "ab"]
        await gone.result()
        await engine.delete(gone.id)
        assert len(await stays.result()) == 2 * LARGE + 2
        folders = [folder async for folder, _ in DirectoryStore(tmp_path).folders("default")]
        assert [run_of(folder) for folder in folders] == [stays.id]


async def test_values_of_runs_that_the_server_forgot_are_swept(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    """Once they are old enough that no start can be about to name them."""
    store = DirectoryStore(tmp_path)
    async with engine_on(temporal_server, store) as engine:
        stays = await engine.start(doubled, "x" * LARGE)
        await store.put(f"{folder_of('default', 'forgotten')}/{hashlib.sha256(b'').hexdigest()}", b"")
        assert await engine.sweep_values() == 0
        assert await engine.sweep_values(older_than=timedelta()) == 1
        assert len(await stays.result()) == 2 * LARGE


async def test_a_value_over_the_maximum_fails_at_once(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    """As on the embedded engine: an input is refused, a result fails its step for good."""
    engine = TemporalEngine(
        temporal_server.address,
        workflows=[doubled],
        steps=[double],
        task_queue=f"values-{uuid.uuid4()}",
        value_store=tmp_path,
        most_payload_bytes=LARGE,
    )
    async with engine:
        with pytest.raises(PayloadTooLargeError, match=f"at most {LARGE:,}"):
            await engine.start(doubled, "x" * LARGE)
        with pytest.raises(RunFailedError, match="PayloadTooLarge") as failed:
            await (await engine.start(doubled, "x" * (LARGE - 100))).result()
        assert failed.value.failure.code == "payload_too_large"


@pytest.mark.parametrize("run_id", ["crawl-42", ".", "..", "a/b", "a~b", "ä ö", "Crawl", "x" * 1000])
def test_each_run_has_a_folder_of_its_own(run_id: str) -> None:
    """Under a name that is safe, differs where ids differ, and tells the id unless that is long."""
    folder = folder_of("default", run_id)
    assert folder.count("/") == 1
    assert len(folder) < 200
    assert folder != folder_of("default", run_id + ".")
    assert folder.lower() != folder_of("default", run_id.swapcase()).lower() or run_id == run_id.swapcase()
    assert run_of(folder) == (run_id if len(run_id) < 100 else None)


async def test_values_of_another_cluster_are_not_swept(
    temporal_server: TemporalServer, tmp_path: Path
) -> None:
    """Who names the wrong cluster, or the wrong directory, loses nothing."""
    store = DirectoryStore(tmp_path)
    await store.put("_owners/default", b"a namespace of the same name elsewhere")
    forgotten = f"{folder_of('default', 'forgotten')}/{hashlib.sha256(b'').hexdigest()}"
    await store.put(forgotten, b"")
    async with engine_on(temporal_server, store) as engine:
        with pytest.raises(ConflictError, match="of its own"):
            await engine.sweep_values(older_than=timedelta())
    assert await store.get(forgotten) == b""

"""The engines that keep the contract."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import EmbeddedEngine, Encryption
from orchestrator.durable.embedded.parking import MOST_IN_MEMORY
from orchestrator.durable.temporal import passing_on
from orchestrator.streams import RedisStreams
from support.contract_lab import PAUSES_S, Gates, Lab
from support.stream_lab import embedded, embedded_streams, on_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orchestrator.durable.engine import Engine
    from orchestrator.durable.workflows import Workflow
    from orchestrator.streams import Streams
    from support.services import TemporalServer
    from support.stream_lab import StreamLab

EMBEDDED = "embedded"
# Every run leaves memory whenever it waits for time or a signal.
EMBEDDED_EVICTING = "embedded-evicting"
TEMPORAL = "temporal"
# No run stays in memory between its events, so all code is replayed all the time, and all is encrypted.
TEMPORAL_REPLAYING = "temporal-replaying"

# A test that gives no engine a step does not mean to wait for one.
UNKNOWN_STEPS_OFFERED_FOR_S = 1.0

KEYS = Encryption({"contract": bytes(32)})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Take each test of the contract to each engine."""
    if "engine_name" not in metafunc.fixturenames:
        return
    engines = [pytest.param(EMBEDDED), pytest.param(EMBEDDED_EVICTING)]
    engines += [pytest.param(name, marks=pytest.mark.temporal) for name in (TEMPORAL, TEMPORAL_REPLAYING)]
    metafunc.parametrize("engine_name", engines)


@pytest.fixture
def lab(
    engine_name: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Lab:
    """Where the test opens its engines."""
    if engine_name in {EMBEDDED, EMBEDDED_EVICTING}:
        most = 0 if engine_name == EMBEDDED_EVICTING else MOST_IN_MEMORY
        return Lab(partial(_embedded, tmp_path / "runs.db", most))
    server: TemporalServer = request.getfixturevalue("temporal_server")
    monkeypatch.setattr(passing_on, "OFFERED_FOR_S", UNKNOWN_STEPS_OFFERED_FOR_S)
    is_replaying = engine_name == TEMPORAL_REPLAYING
    streams = (
        partial(embedded_streams, tmp_path / "streams.db")
        if is_replaying
        else partial(RedisStreams, request.getfixturevalue("redis_url"), prefix=f"contract-{uuid.uuid4()}")
    )
    options = {
        "task_queue": f"contract-{uuid.uuid4()}",
        "resident_runs": 0 if is_replaying else 1_000,
        "value_store": tmp_path / "values",
        "encryption": KEYS if is_replaying else None,
    }
    return Lab(partial(_temporal, server.address, options, streams), PAUSES_S)


@pytest.fixture
def gates() -> Gates:
    """Steps that the test can hold and let go."""
    return Gates()


@pytest.fixture(params=["embedded", pytest.param("redis", marks=pytest.mark.redis)])
async def stream_lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StreamLab]:
    """Each backend of streams in turn."""
    opening: AbstractAsyncContextManager[StreamLab] = (
        embedded(tmp_path) if request.param == "embedded" else on_redis(request.getfixturevalue("redis_url"))
    )
    async with opening as lab:
        yield lab


@pytest.fixture
def streams(stream_lab: StreamLab) -> Streams:
    """Streams of each backend."""
    return stream_lab.streams


def _embedded(
    path: Path, most_in_memory: int, workflows: Sequence[Workflow[Any, Any]], steps: Sequence[object]
) -> AbstractAsyncContextManager[Engine]:
    return EmbeddedEngine(path, workflows=workflows, steps=steps, most_runs_in_memory=most_in_memory)


@asynccontextmanager
async def _temporal(  # what a lab adds, then what a test gives
    address: str,
    options: dict[str, Any],
    open_streams: Callable[[], AbstractAsyncContextManager[Streams]],
    workflows: Sequence[Workflow[Any, Any]],
    steps: Sequence[object],
) -> AsyncIterator[Engine]:
    from orchestrator import TemporalEngine

    async with (
        open_streams() as streams,
        TemporalEngine(address, workflows=workflows, steps=steps, streams=streams, **options) as engine,
    ):
        yield engine

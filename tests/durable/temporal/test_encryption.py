"""Encryption on Temporal: what the cluster and the disk hold tells nothing, and keys can be changed."""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import TYPE_CHECKING

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import ActivitySerializationContext, WorkflowSerializationContext

from orchestrator import Context, Encryption, StepError, TemporalEngine, progress, step, workflow
from orchestrator.durable.codec import codec_for
from orchestrator.durable.errors import RunFailedError
from orchestrator.durable.temporal.payloads import carried, in_the_open
from orchestrator.durable.temporal.sealing import Sealing
from orchestrator.durable.temporal.unreadable import data_of, is_unreadable, recorded_in
from orchestrator.journal.errors import UnreadableError
from support.contract_lab import Gates, all_events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.durable.runs import Event
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal

OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}
PLANTED = "planted-text"


@step
async def stamp(text: str) -> str:
    """Give it back longer."""
    progress(f"{PLANTED} progress")
    return f"{PLANTED} result {text}"


@step
async def stumble(text: str) -> None:
    """Fail with what it was given."""
    raise ValueError(f"{PLANTED} message {text}")


@workflow
async def inner(ctx: Context, text: str) -> str:
    """Give it back."""
    return f"{PLANTED} child {text}"


@workflow
async def everything(ctx: Context, text: str) -> str:
    """Record something of every kind, then fail or go on under another history."""
    if text.startswith("again"):
        raise RuntimeError(f"{PLANTED} failure")
    said = await ctx.run(stamp, text)
    said += await ctx.receive("letter", str)
    said += await ctx.child(inner, text)
    ctx.publish("news", f"{PLANTED} event")
    try:
        await ctx.run(stumble, text)
    except StepError as error:
        said += error.message
    await ctx.map(stamp, [text + "x" * 50_000], at_once=1)
    ctx.continue_as(f"again {PLANTED} {said[:5]}")


@workflow
async def held(ctx: Context, text: str) -> str:
    """Wait between two steps."""
    first = await ctx.run(stamp, text)
    await ctx.run(Gates.wait, "gate")
    await ctx.receive("go", str)
    return first


def engine_on(
    server: TemporalServer, queue: str, keys: dict[str, bytes], *steps: object, store: Path | None = None
) -> TemporalEngine:
    """An engine of this file's workflows."""
    return TemporalEngine(
        server.address,
        workflows=[everything, inner, held],
        steps=[stamp, stumble, *steps],
        task_queue=queue,
        encryption=Encryption(keys) if keys else None,
        value_store=store,
        resident_runs=0,
    )


@pytest.fixture
def queue() -> str:
    """The task queue of this test."""
    return f"sealed-{uuid.uuid4()}"


async def test_nothing_of_what_is_recorded_can_be_read(
    temporal_server: TemporalServer, tmp_path: Path, queue: str
) -> None:
    """Neither in histories nor in what the cluster shows of runs, nor in the store; by the key it can."""
    async with engine_on(temporal_server, queue, NEW, store=tmp_path) as engine:
        run = await engine.start(everything, f"{PLANTED} input", tags={"kind": "open"}, owner="ada")
        await run.signal("letter", f"{PLANTED} letter")
        with pytest.raises(RunFailedError, match=f"{PLANTED} failure"):
            await run.result()
        events = await all_events(run)
        assert PLANTED in str(events[0].data)
        assert (await run.describe()).tags == {"kind": "open"}
    recorded = await _all_that_the_cluster_has(temporal_server, run.id)
    recorded += b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"orchestrator" in recorded
    for form in (PLANTED.encode(), base64.b64encode(PLANTED.encode())[:12]):
        assert form not in recorded


async def _all_that_the_cluster_has(server: TemporalServer, run_id: str) -> bytes:
    client = await Client.connect(server.address)
    found = b""
    info = (await client.get_workflow_handle(run_id).describe()).raw_description
    found += info.SerializeToString()
    life = info.workflow_execution_info.first_run_id
    lives = [(run_id, life), (run_id, info.workflow_execution_info.execution.run_id)]
    for workflow_id, history in lives:
        async for event in client.get_workflow_handle(workflow_id, run_id=history).fetch_history_events():
            found += event.SerializeToString()
            child = event.child_workflow_execution_started_event_attributes.workflow_execution
            if child.workflow_id:
                lives.append((child.workflow_id, child.run_id))
    return found


async def test_a_run_goes_on_under_a_new_key(temporal_server: TemporalServer, queue: str) -> None:
    """What the old one encrypted is read by it, as long as it is given; the same start is recognised."""
    gates = Gates()
    async with engine_on(temporal_server, queue, OLD, gates) as engine:
        run = await engine.start(held, "ada", id=f"turns-{uuid.uuid4()}")
        await gates.reached("gate")
    gates.open("gate")
    async with engine_on(temporal_server, queue, NEW | OLD, gates) as engine:
        again = await engine.start(held, "ada", id=run.id)
        await again.signal("go", "now")
        assert await again.result() == f"{PLANTED} result ada"


@pytest.mark.parametrize("keys", [NEW, {}])
async def test_a_run_without_its_key_waits_for_it(
    temporal_server: TemporalServer, queue: str, keys: dict[str, bytes]
) -> None:
    """Its workflow task fails with a sentence that names the key, and readers are told the same."""
    gates = Gates()
    async with engine_on(temporal_server, queue, OLD, gates) as engine:
        run = await engine.start(held, "ada")
        await gates.reached("gate")
        gates.open("gate")
        while len(await _completed(await engine.get(run.id))) < 2:  # noqa: ASYNC110  # the server's own pace
            await asyncio.sleep(0.1)
    async with engine_on(temporal_server, queue, keys, gates) as engine:
        stuck = await engine.get(run.id)
        await stuck.signal("go", "now")
        with pytest.raises(UnreadableError, match="encrypted with key 'old'"):
            await all_events(stuck)
        assert (await stuck.describe()).id == run.id
    async with engine_on(temporal_server, queue, OLD | keys, gates) as engine:
        assert await (await engine.get(run.id)).result() == f"{PLANTED} result ada"


async def _completed(run: object) -> Sequence[object]:
    return [one for one in await run.steps() if one.closed_at]  # type: ignore[attr-defined]


def sealing(run_id: str, keys: dict[str, bytes] = NEW) -> Sealing:
    """A codec of one run."""
    return Sealing(codec_for(Encryption(keys))).with_context(WorkflowSerializationContext("default", run_id))


async def test_a_value_opens_for_its_own_run_alone() -> None:
    """And for one that a schedule of that id started; for a step as for the code."""
    [sealed] = await sealing("daily").encode([carried(b'"hi"').payload])
    for run_id in ("daily", "daily-2026-11-21T09:00:00Z"):
        [opened] = await sealing(run_id).decode([sealed])
        assert opened.data == b'"hi"'
    step_of_it = ActivitySerializationContext("default", "1:a", "a", "q", "daily", "w", is_local=False)
    [opened] = await sealing("other").with_context(step_of_it).decode([sealed])
    assert opened.data == b'"hi"'
    for run_id in ("other", "daily-2", "dail"):
        [refused] = await sealing(run_id).decode([sealed])
        with pytest.raises(UnreadableError, match="was put into another one"):
            data_of(type(carried(b""))(refused))
        assert recorded_in(refused) == sealed


async def test_the_same_value_is_never_sealed_alike() -> None:
    """So equal values cannot be told; what is sealed is not sealed twice, and what is open stays so."""
    codec, value = sealing("a"), carried(b'"hi"').payload
    (first,), (second,) = await codec.encode([value]), await codec.encode([value])
    assert first.data != second.data
    assert await codec.encode([first]) == [first]
    assert await codec.encode([in_the_open("x").payload]) == [in_the_open("x").payload]


async def test_a_tampered_value_says_so() -> None:
    """Whether its bytes were changed or the run that it names."""
    [sealed] = await sealing("a").encode([carried(b'"hi"').payload])
    changed = Payload(metadata=sealed.metadata, data=sealed.data[:-1] + bytes([sealed.data[-1] ^ 1]))
    renamed = Payload(metadata={**sealed.metadata, "run": b"b"}, data=sealed.data)
    for payload, run_id in ((changed, "a"), (renamed, "b")):
        [opened] = await sealing(run_id).decode([payload])
        assert is_unreadable(opened)
        with pytest.raises(UnreadableError, match="was changed after it was written, or belongs elsewhere"):
            data_of(type(carried(b""))(opened))


@step
async def blurt(password: str) -> None:
    """Fail with a secret."""
    raise ValueError(f"cannot log in with lovelace, nor password={password}")


@workflow
async def visit(ctx: Context, password: str) -> str:
    """Publish a secret, then fail with one."""
    ctx.publish("tried", "lovelace")
    await ctx.run(blurt, password)
    return password


async def test_secrets_are_hidden_from_watchers(temporal_server: TemporalServer, queue: str) -> None:
    """In failures and published events before they are recorded, in inputs when they are shown."""
    async with TemporalEngine(
        temporal_server.address, workflows=[visit], steps=[blurt], task_queue=queue, secrets=["lovelace"]
    ) as engine:
        run = await engine.start(visit, "lovelace")
        with pytest.raises(RunFailedError) as failed:
            await run.result()
        events: list[Event] = await all_events(run)
    assert "lovelace" not in str(failed.value) + str(events)
    assert "***" in str(failed.value)

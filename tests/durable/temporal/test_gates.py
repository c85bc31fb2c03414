"""Limits on Temporal: how gates count, whatever happens to those whom they count."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from orchestrator import Context, Limit, TemporalEngine, step, workflow
from orchestrator.durable.limits import Slot
from orchestrator.durable.registry import Registry
from orchestrator.durable.runs import Status
from orchestrator.durable.temporal import gates as gates_module
from orchestrator.durable.temporal.beginnings import arguments
from orchestrator.durable.temporal.gates import ASK, Register, Request
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.places import Claim, Place
from support.contract_lab import PATIENCE_S, Gates

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from orchestrator.durable.temporal.runs import TemporalRun
    from orchestrator.durable.workflows import Workflow
    from support.services import TemporalServer


@workflow(limits=[Limit(1)])
async def alone(ctx: Context, gate: str) -> str:
    """Wait at a gate, one run at a time."""
    return await ctx.run(Gates.wait, gate)


@workflow(limits=[Limit(1, name="endless")])
async def endless(ctx: Context, lives: int) -> str:
    """Go on in new histories, so many times, and wait at a gate in the last one."""
    if lives:
        ctx.continue_as(lives - 1)
    return await ctx.run(Gates.wait, "last life")


@workflow(limits=[Limit(3, name="crowd", key=lambda _: "all")])
async def crowded(ctx: Context, number: int) -> int:
    """Count who is here."""
    return await ctx.run(Crowd.pass_through, number)


@workflow(limits=[Limit(2, name="wide"), Limit(1, name="narrow", key=lambda name: name)])
async def both(ctx: Context, name: str) -> str:
    """Have two limits."""
    return name


@workflow(limits=[Limit(1, name="narrow", key=lambda name: name)])
async def narrow(ctx: Context, name: str) -> str:
    """Have one of these limits."""
    return name


@workflow(limits=[Limit(1, name="apart", key=lambda name: name)])
async def apart(ctx: Context, name: str) -> str:
    """Have a limit with keys that no other has."""
    return name


class Crowd:
    """A step that sees how many are in it at once."""

    def __init__(self) -> None:
        self.here = 0
        self.most = 0

    @step
    async def pass_through(self, number: int) -> int:
        """Be here for some turns of the loop."""
        self.here += 1
        self.most = max(self.most, self.here)
        for _ in range(20):
            await asyncio.sleep(0)
        self.here -= 1
        return number


WORKFLOWS: list[Workflow[Any, Any]] = [alone, endless, crowded, both, narrow, apart]


def engine_on(server: TemporalServer, *steps: object, queue: str = "") -> TemporalEngine:
    """An engine of this file's workflows, on a task queue of its own or that one."""
    return TemporalEngine(
        server.address, workflows=WORKFLOWS, steps=steps, task_queue=queue or f"own-{uuid.uuid4()}"
    )


def gate_of(engine: TemporalEngine, limit: str) -> WorkflowHandle[Any, Any]:
    """The gate of a limit without keys."""
    return engine._connected().get_workflow_handle(f"orchestrator:gate:{engine._task_queue}:{limit}")


async def history_of(engine: TemporalEngine, run: TemporalRun[Any]) -> str:
    """The server's id of a run's first history."""
    description = await engine._connected().get_workflow_handle(run.id).describe()
    return description.raw_description.workflow_execution_info.first_run_id


@pytest.mark.temporal
async def test_never_more_than_so_many_are_under_way(temporal_server: TemporalServer) -> None:
    """Forty that come at once are three at a time, and all come to their end."""
    crowd = Crowd()
    async with engine_on(temporal_server, crowd) as engine:
        runs = await asyncio.gather(*[engine.start(crowded, number) for number in range(40)])
        async with asyncio.timeout(2 * PATIENCE_S):
            assert await asyncio.gather(*[run.result() for run in runs]) == list(range(40))
        assert 1 <= crowd.most <= 3


@pytest.mark.temporal
@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_holder_that_is_ended_by_others_is_noticed(
    temporal_server: TemporalServer, *, is_deleted: bool
) -> None:
    """A run that an operator terminated, even one whose history is gone, holds no place."""
    gates = Gates()
    async with engine_on(temporal_server, gates) as engine:
        first = await engine.start(alone, "a")
        second = await engine.start(alone, "b")
        await gates.reached("a")
        if is_deleted:
            await first.cancel(force_after=0)
            await engine.delete(first.id)
        else:
            await engine._connected().get_workflow_handle(first.id).terminate()
        await gates.reached("b")
        gates.open("a", "b")
        assert await second.result() == "b"


@pytest.mark.temporal
async def test_a_run_that_goes_on_in_new_histories_keeps_its_place(temporal_server: TemporalServer) -> None:
    """Others wait for its last life, and it does not ask again."""
    gates = Gates()
    async with engine_on(temporal_server, gates) as engine:
        first = await engine.start(endless, 1)
        second = await engine.start(endless, 0)
        await gates.reached("last life")
        assert (await second.describe()).status is Status.PENDING
        assert gates.calls == ["last life"]
        gates.open("last life")
        assert [await first.result(), await second.result()] == ["last life", "last life"]


@pytest.mark.temporal
async def test_a_run_asks_for_its_place_itself(temporal_server: TemporalServer) -> None:
    """Should the process that starts it be killed before it does."""
    gates = Gates()
    gates.open("a")
    async with engine_on(temporal_server, gates) as engine:
        run_id = f"alone-{uuid.uuid4()}"
        await engine._connected().start_workflow(
            "alone", args=arguments(b'"a"'), id=run_id, task_queue=engine._task_queue
        )
        async with asyncio.timeout(PATIENCE_S):
            assert await (await engine.get(run_id)).result() == "a"


@pytest.mark.temporal
async def test_a_gate_goes_on_in_a_new_history(temporal_server: TemporalServer) -> None:
    """With who holds and who waits, in their order, when its history has become long."""
    gates = Gates()
    async with engine_on(temporal_server, gates) as engine:
        runs = [await engine.start(alone, name, priority=priority) for name, priority in ORDER]
        await gates.reached("first")
        gate = gate_of(engine, "alone")
        began_as = (await gate.describe()).run_id
        place = Place(limit="alone", key=None, at_once=1)
        again = Request(
            run_id=runs[0].id, history=await history_of(engine, runs[0]), priority=3, takes=(place,)
        )
        said = carried(again.model_dump_json().encode())
        async with asyncio.timeout(2 * PATIENCE_S):
            while (now := await gate.describe()).run_id == began_as:
                # A history cannot end while more is said to it: one at a time, once it is long enough.
                many = 1 if now.history_length >= LONG else 500
                await asyncio.gather(*[gate.signal(ASK, said) for _ in range(many)])
                await asyncio.sleep(0.1)
            assert [(await run.describe()).status for run in runs[1:]] == [Status.PENDING] * 3
            gates.open(*[name for name, _ in ORDER])
            for run in runs:
                await run.result()
        assert gates.calls == ["first", "high", "normal", "low"]


# From so many events on the server suggests a new history.
LONG = 4_096
ORDER = [("first", 3), ("low", 5), ("normal", 3), ("high", 1)]


@pytest.mark.temporal
async def test_a_gate_ends_when_there_is_nobody(
    temporal_server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks now and then whether those who hold places still do, while nobody waits."""
    monkeypatch.setattr(gates_module, "FIRST_LOOK", timedelta(milliseconds=50))
    gates = Gates()
    async with engine_on(temporal_server, gates) as engine:
        run = await engine.start(alone, "a")
        await gates.reached("a")
        gate = gate_of(engine, "alone")
        assert (await gate.describe()).status is WorkflowExecutionStatus.RUNNING
        gates.open("a")
        assert await run.result() == "a"
        async with asyncio.timeout(PATIENCE_S):
            await gate.result()
        assert await (await engine.start(alone, "a")).result() == "a"


@pytest.mark.temporal
async def test_a_pending_run_says_what_it_waits_for_while_nobody_works(
    temporal_server: TemporalServer,
) -> None:
    """Its gate cannot be asked then, so the limits are named without their counts."""
    gates, queue = Gates(), f"own-{uuid.uuid4()}"
    async with engine_on(temporal_server, gates, queue=queue) as engine:
        await engine.start(alone, "a")
        second = await engine.start(alone, "b")
        await gates.reached("a")
    async with TemporalEngine(
        temporal_server.address, workflows=WORKFLOWS, task_queue=queue, works=False
    ) as engine:
        info = await (await engine.get(second.id)).describe()
        assert (info.status, info.reason) == (Status.PENDING, "waits for a place in limit 'alone'")
        await (await engine.get(second.id)).cancel(force_after=0)


def test_limits_that_are_had_together_are_counted_by_one_gate() -> None:
    """So that a run has all its places at once; a limit with keys of its own has a gate for each."""
    registry = Registry()
    registry.add(WORKFLOWS, [])

    def gate(of: Workflow[Any, Any], name: str) -> str:
        return Claim.of(registry, "q", of, f'"{name}"'.encode()).gate

    assert gate(both, "a") == gate(both, "b") == gate(narrow, "c") == "orchestrator:gate:q:narrow"
    assert gate(apart, "a") != gate(apart, "b")
    assert gate(apart, "a") == gate(apart, "a")
    assert "secret" not in gate(apart, "secret")


def test_what_ancestors_hold_is_not_taken_again() -> None:
    """Nothing at all, where they hold everything."""
    registry = Registry()
    registry.add(WORKFLOWS, [])
    held = {Slot("wide", None)}
    assert Claim.of(registry, "q", both, b'"a"', held).slots == (Slot("narrow", "a"),)
    assert Claim.of(registry, "q", both, b'"a"', held | {Slot("narrow", "a")}) == Claim()


def test_many_who_wait_fit_into_what_a_server_takes() -> None:
    """As many as a gate remembers, with ids that have nothing in common."""
    place = Place(limit="alone", key=None, at_once=1)
    waiting = tuple(
        Request(run_id=str(uuid.uuid4()), history=str(uuid.uuid4()), priority=3, takes=(place,))
        for _ in range(gates_module.MOST_REMEMBERED)
    )
    register = Register(waiting=waiting)
    assert len(register.data.payload.data) < 2_000_000
    assert Register.of(register.data) == register

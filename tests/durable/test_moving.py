"""Moving open runs from a journal to Temporal: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import Client

from orchestrator import Context, EmbeddedEngine, Limit, Retry, TemporalEngine, step, step_info, workflow
from orchestrator.core.errors import NotFoundError
from orchestrator.durable.codec import Encryption
from orchestrator.durable.embedded.leaving import LeavingJournal
from orchestrator.durable.errors import RunFailedError, RunTerminatedError
from orchestrator.durable.moving import LEFT, MOVED, WOULD_MOVE, Move, Mover
from orchestrator.durable.runs import EventType, Status
from orchestrator.journal.errors import JournalInUseError
from support.contract_lab import PATIENCE_S, Gates, all_events
from support.movable import WORKFLOWS, errand, household

if TYPE_CHECKING:
    from orchestrator.durable.engine import Engine, Run
    from orchestrator.durable.workflows import Workflow
    from support.services import TemporalServer

pytestmark = pytest.mark.temporal

ROOT = Path(__file__).parents[2]
HOUR_S = 3600.0


class Stage:
    """A journal and a task queue of its own, with engines on both that have the same code."""

    def __init__(self, path: Path, address: str, gates: Gates) -> None:
        self.path = path
        self.address = address
        self.task_queue = f"moving-{uuid.uuid4()}"
        self.gates = gates
        self.workflows: tuple[Workflow[Any, Any], ...] = WORKFLOWS
        self.steps: tuple[object, ...] = (gates,)
        self.encryption: Encryption | None = None

    def id(self, name: str) -> str:
        """A run id of this test's own, for a server that many share."""
        return f"{name}-{self.task_queue}"

    def embedded(self) -> EmbeddedEngine:
        """The engine on the journal."""
        return EmbeddedEngine(
            self.path, workflows=self.workflows, steps=self.steps, encryption=self.encryption
        )

    def temporal(self, *, works: bool = True) -> TemporalEngine:
        """The engine on the server."""
        return TemporalEngine(
            self.address,
            workflows=self.workflows,
            steps=self.steps,
            task_queue=self.task_queue,
            works=works,
        )

    async def move(self, *, is_rehearsal: bool = False) -> dict[str, Move]:
        """Move everything, as far as it can be moved."""
        async with (
            self.temporal(works=False) as engine,
            LeavingJournal(self.path, encryption=self.encryption) as leaving,
        ):
            mover = Mover(leaving, engine.arrivals, is_rehearsal=is_rehearsal)
            return {move.id: move async for move in mover.move()}

    async def move_in_a_process(self, cut_at: int) -> int:
        """Have another process move everything, which kills itself at that point; how it ended."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "support.movable", str(self.path), self.address, self.task_queue),
            str(cut_at),
            cwd=ROOT / "tests",
        )
        return await process.wait()


@pytest.fixture
def stage(tmp_path: Path, temporal_server: TemporalServer) -> Stage:
    """Where runs move."""
    return Stage(tmp_path / "runs.db", temporal_server.address, Gates())


async def of_id(engine: Engine, run_id: str) -> Run[Any]:
    """The run of that id, once there is one: a child is there when its parent's code has begun it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(NotFoundError):
                return await engine.get(run_id)
            await asyncio.sleep(0)


async def has_noted(engine: Engine, run_id: str) -> None:
    """Until the run of that id is there, and the first step that it completed is recorded."""
    async for event in (await of_id(engine, run_id)).events():
        if event.type is EventType.STEP_COMPLETED:
            return


async def test_a_family_goes_on_where_it_was(stage: Stage) -> None:
    """A parent awaits its child again; what both did before is not done again, and their watchers see it."""
    async with stage.embedded() as engine:
        run = await engine.start(
            household, "Ada", id=stage.id("home"), owner="o", tags={"k": "v"}, priority=2
        )
        await has_noted(engine, f"{run.id}.2")
    moves = await stage.move()
    assert {move.fate for move in moves.values()} == {MOVED}
    assert set(moves) == {run.id, f"{run.id}.2"}
    stage.gates.calls.clear()
    async with stage.temporal() as temporal:
        moved = await temporal.get(run.id)
        child = await of_id(temporal, f"{run.id}.2")
        await child.signal("word", "milk")
        result = await moved.result()
        assert result[:2] == ["Ada wakes", "errand of Ada begins, milk, errand of Ada ends"]
        assert stage.gates.calls == ["errand of Ada ends", "Ada sleeps"]
        info, of_child = await moved.describe(), await child.describe()
        assert (info.owner, info.tags, of_child.parent) == ("o", {"k": "v"}, run.id)
        events = [(event.type, event.name) for event in await all_events(moved)]
        assert events.count((EventType.STEP_COMPLETED, "Gates.note")) == 2
        assert (EventType.CHILD_COMPLETED, "errand") in events
        again = await temporal.start(household, "Ada", id=run.id)
        assert await again.result() == result
    async with stage.embedded() as journal:
        left = await journal.get(run.id)
        assert (await left.describe()).status is Status.TERMINATED
        assert "moved to Temporal" in (await left.describe()).reason
        with pytest.raises(RunTerminatedError):
            await left.result()
    assert await stage.move() == {}


async def test_waits_signals_pauses_and_keys_move_too(stage: Stage) -> None:
    """Deadlines stay, kept signals are kept, paused runs are paused, steps in flight have their key again."""
    keys: list[str] = []

    @step
    async def pay() -> str:
        keys.append(step_info().idempotency_key)
        await Gates.wait(stage.gates, "gate")
        return "paid"

    @workflow
    async def order(ctx: Context) -> list[Any]:
        begun = ctx.now()
        await ctx.sleep(0.3)
        paid = await ctx.run(pay)
        return [paid, await ctx.receive("note"), (ctx.now() - begun).total_seconds() < HOUR_S]

    @workflow
    async def rest(ctx: Context) -> str:
        await ctx.run(Gates.note, "rests")
        await ctx.sleep(HOUR_S)
        return "rested"

    stage.workflows, stage.steps = (*WORKFLOWS, order, rest), (stage.gates, pay)
    async with stage.embedded() as engine:
        paying = await engine.start(order, id=stage.id("order"))
        await paying.signal("note", "fragile", id="n1")
        await stage.gates.reached("gate")
        resting = await engine.start(rest, id=stage.id("rest"))
        held = await engine.start(errand, "Bob", id=stage.id("held"))
        await has_noted(engine, held.id)
        await has_noted(engine, resting.id)
        await held.pause()
        await held.signal("word", "eggs")
        began = (await resting.describe()).created_at
    assert {move.fate for move in (await stage.move()).values()} == {MOVED}
    stage.gates.open("gate")
    stage.gates.calls.clear()
    async with stage.temporal() as temporal:
        order_there = await temporal.get(paying.id)
        await order_there.signal("note", "fragile", id="n1")
        assert await order_there.result() == ["paid", "fragile", True]
        assert keys == [f"{paying.id}/2:pay"] * 2
        held_there = await temporal.get(held.id)
        assert (await held_there.describe()).status is Status.PAUSED
        await held_there.resume()
        assert await held_there.result() == "Bob begins, eggs, Bob ends"
        rest_there = await temporal.get(resting.id)
        started = await anext(aiter(rest_there.events()))
        assert (started.type, started.at) == (EventType.RUN_STARTED, began)
        await rest_there.cancel(force_after=0)
    assert stage.gates.calls == ["gate", "Bob ends"]


async def test_a_step_waits_on_for_its_next_attempt(stage: Stage) -> None:
    """It comes when it was due, and is counted on from those that failed."""
    attempts: list[int] = []

    @step(retry=Retry(attempts=3, backoff=(1.0, 0.01)))
    async def shaky() -> None:
        attempts.append(step_info().attempt)
        raise ValueError("no")

    @workflow
    async def trying(ctx: Context) -> None:
        await ctx.run(shaky)

    stage.workflows, stage.steps = (trying,), (shaky,)
    async with stage.embedded() as engine:
        run = await engine.start(trying, id=stage.id("trying"))
        due_at = 0.0
        async for event in run.events():
            if event.type is EventType.STEP_RETRYING:
                assert isinstance(event.data, dict)
                due_at = float(str(event.data["retry_at"]))
                break
    assert (await stage.move())[run.id].fate == MOVED
    async with stage.temporal() as temporal:
        moved = await temporal.get(run.id)
        with pytest.raises(RunFailedError, match="no"):
            await moved.result()
        (view,) = await moved.steps()
        assert view.closed_at is not None
        assert view.closed_at.timestamp() >= due_at
        told = [event.type for event in await all_events(moved)]
        assert EventType.TIMER_FIRED not in told  # the wait is none of the code's
    assert attempts == [1, 2, 3]


async def test_what_cannot_be_moved_is_told_and_left(stage: Stage) -> None:
    """With the reason, for a whole family; it goes on in the journal."""

    @workflow
    async def unknown(ctx: Context) -> str:
        return await ctx.receive("word", str)

    @workflow
    async def clean(ctx: Context) -> None:
        try:
            await ctx.receive("never")
        except asyncio.CancelledError:
            await ctx.run(Gates.wait, "gate")
            raise

    stage.workflows = (*WORKFLOWS, unknown, clean)
    async with stage.embedded() as engine:
        strange = await engine.start(unknown, id=stage.id("strange"))
        stopping = await engine.start(clean, id=stage.id("stopping"))
        await stopping.cancel()
        await stage.gates.reached("gate")
    stage.workflows = (*WORKFLOWS, clean)
    moves = await stage.move()
    assert {move.fate for move in moves.values()} == {LEFT}
    assert "no workflow 'unknown'" in moves[strange.id].reason
    assert "asked to stop" in moves[stopping.id].reason
    stage.workflows = (*WORKFLOWS, unknown, clean)
    async with stage.embedded() as engine:
        found = await engine.get(strange.id)
        await found.signal("word", "here")
        assert await found.result() == "here"


async def test_another_run_of_the_id_is_a_conflict(stage: Stage) -> None:
    """The run stays in the journal, and the one on Temporal is what it was."""
    async with stage.embedded() as engine:
        run = await engine.start(errand, "Eve", id=stage.id("twice"))
    async with stage.temporal(works=False) as temporal:
        await temporal.start(errand, "Mallory", id=run.id)
    moves = await stage.move()
    assert moves[run.id].fate == LEFT
    assert "another workflow or input" in moves[run.id].reason


async def test_a_rehearsal_moves_nothing(stage: Stage) -> None:
    """It says what would be moved."""
    async with stage.embedded() as engine:
        run = await engine.start(errand, "Eve", id=stage.id("rehearsed"))
    assert (await stage.move(is_rehearsal=True))[run.id].fate == WOULD_MOVE
    async with stage.embedded() as engine:
        found = await engine.get(run.id)
        await found.signal("word", "here")
        assert await found.result() == "Eve begins, here, Eve ends"


async def test_a_journal_in_use_is_not_moved(stage: Stage) -> None:
    """The service has to be stopped first."""
    async with stage.embedded():
        with pytest.raises(JournalInUseError):
            await stage.move()


async def test_encrypted_runs_are_moved_by_who_has_the_keys(stage: Stage) -> None:
    """Others are told that the key is missing; the digest is one that the same start finds."""
    stage.encryption = Encryption({"k": b"0" * 32})
    async with stage.embedded() as engine:
        run = await engine.start(errand, "Eve", id=stage.id("sealed"))
        await has_noted(engine, run.id)
    keys, stage.encryption = stage.encryption, None
    assert "key 'k'" in (await stage.move())[run.id].reason
    stage.encryption = keys
    assert (await stage.move())[run.id].fate == MOVED
    async with stage.temporal() as temporal:
        moved = await temporal.start(errand, "Eve", id=run.id)
        await moved.signal("word", "x")
        assert await moved.result() == "Eve begins, x, Eve ends"


async def test_a_mover_that_is_killed_anywhere_is_run_again(tmp_path: Path, stage: Stage) -> None:
    """By SIGKILL at every point in turn: what was half moved is moved then, and nothing is done twice."""
    for cut_at in count(1):
        own = Stage(tmp_path / f"{cut_at}.db", stage.address, Gates())
        async with own.embedded() as engine:
            run = await engine.start(household, "Ada", id=own.id("home"))
            alone = await engine.start(errand, "Bob", id=own.id("alone"))
            await has_noted(engine, f"{run.id}.2")
            await has_noted(engine, alone.id)
        ended = await own.move_in_a_process(cut_at)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        assert await own.move_in_a_process(0) == 0
        async with own.temporal() as temporal:
            await (await of_id(temporal, f"{run.id}.2")).signal("word", "milk")
            await (await temporal.get(alone.id)).signal("word", "eggs")
            assert (await (await temporal.get(run.id)).result())[0] == "Ada wakes"
            assert await (await temporal.get(alone.id)).result() == "Bob begins, eggs, Bob ends"
        assert len(own.gates.calls) == len(set(own.gates.calls))
        async with own.embedded() as engine:
            assert engine.active == 0
    assert cut_at > 6, "it was killed nowhere"


async def test_schedules_move_as_they_are(stage: Stage) -> None:
    """With all their settings; one that is paused begins as paused, and is never active in between."""
    settings: dict[str, Any] = {"cron": "0 9 29 2 *", "zone": "Europe/Berlin", "catch_up": 60.0}
    async with stage.embedded() as engine:
        for name in ("active", "paused"):
            await engine.schedule(
                errand, "Ada", id=stage.id(name), owner="o", tags={"k": "v"}, priority=2, **settings
            )
        await (await engine.get_schedule(stage.id("paused"))).pause()
        before = {info.id: info for info in await engine.schedules()}
    assert {move.id: (move.kind, move.fate) for move in (await stage.move()).values()} == dict.fromkeys(
        before, ("schedule", MOVED)
    )
    client = await Client.connect(stage.address)
    async with stage.temporal() as temporal:
        for info in before.values():
            moved = await temporal.get_schedule(info.id)
            now = await moved.describe()
            assert replace(now, created_at=info.created_at) == info
            # A schedule that was begun and then paused would say who paused it.
            assert not (await client.get_schedule_handle(info.id).describe()).schedule.state.note
        active = await temporal.get_schedule(stage.id("active"))
        run = await active.run_now()
        await run.signal("word", "milk")
        assert await run.result() == "Ada begins, milk, Ada ends"
        for info_id in before:
            await (await temporal.get_schedule(info_id)).delete()
    async with stage.embedded() as engine:
        assert await engine.schedules() == []


async def test_runs_that_wait_for_a_place_wait_there_too(stage: Stage) -> None:
    """The one that has the place has it there, and the others come after it, in their order."""

    @workflow(limits=[Limit(1)])
    async def one_by_one(ctx: Context, name: str) -> str:
        await ctx.run(Gates.note, f"{name} begins")
        return await ctx.receive("word", str)

    stage.workflows = (one_by_one,)
    names = ["a", "b", "c"]
    async with stage.embedded() as engine:
        runs = [await engine.start(one_by_one, name, id=stage.id(name)) for name in names]
        await has_noted(engine, runs[0].id)
        await runs[1].signal("word", "early")
        statuses = [(await run.describe()).status for run in runs]
        assert statuses == [Status.WAITING, Status.PENDING, Status.PENDING]
    assert {move.fate for move in (await stage.move()).values()} == {MOVED}
    stage.gates.calls.clear()
    async with stage.temporal() as temporal:
        first, second, third = [await temporal.get(run.id) for run in runs]
        assert (await second.describe()).status is Status.PENDING
        assert (await third.describe()).status is Status.PENDING
        await first.signal("word", "done")
        assert await first.result() == "done"
        assert await second.result() == "early"
        await third.signal("word", "last")
        assert await third.result() == "last"
    assert stage.gates.calls == ["b begins", "c begins"]

"""Limits through crashes: never more runs than they allow, never fewer than would fit, and all end."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestrator import Context, EmbeddedEngine, Encryption, Limit, step, workflow
from orchestrator.durable.embedded.parking import MOST_IN_MEMORY
from orchestrator.durable.errors import RunClosedError
from orchestrator.durable.runs import EventType, Status
from orchestrator.journal import JournalError
from orchestrator.testing import BEGINNING, ManualClock
from support.contract_lab import all_events
from support.quiet import settle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.durable.engine import Run
    from orchestrator.durable.runs import RunInfo
    from orchestrator.durable.workflows import Workflow


class Job(BaseModel):
    """What one run is to do, and for whom."""

    number: int
    tenant: str
    document: str


EVERYWHERE = Limit(3, name="everywhere")
TENANT = Limit(2, key=lambda job: job.tenant, name="tenant")
DOCUMENT = Limit(1, key=lambda job: job.document, name="document")


@workflow(limits=[EVERYWHERE, TENANT, DOCUMENT])
async def write(ctx: Context, job: Job) -> int:
    """Needs all three."""
    return await ctx.run(Desk.work, job)


@workflow(limits=[DOCUMENT, TENANT])
async def correct(ctx: Context, job: Job) -> int:
    """Needs two of them."""
    return await ctx.run(Desk.work, job)


@workflow(limits=[EVERYWHERE])
async def idle(ctx: Context, job: Job) -> int:
    """Needs one of them, and can leave memory while it holds it."""
    ctx.publish("idle", job.number)
    await ctx.receive("go", int)
    ctx.publish("no longer", job.number)
    return job.number


@workflow(limits=[EVERYWHERE, TENANT])
async def edit(ctx: Context, job: Job) -> int:
    """Holds two and has children: one that needs nothing else, and one that needs a document besides."""
    await ctx.gather(
        ctx.child(chapter, job, id=f"{job.number} chapter"),
        ctx.child(correct, job, id=f"{job.number} correct"),
    )
    return job.number


@workflow(limits=[TENANT, EVERYWHERE])
async def chapter(ctx: Context, job: Job) -> int:
    """Needs what its parent has."""
    ctx.publish("chapter")
    return job.number


KINDS: dict[str, Workflow[Job, int]] = {"write": write, "correct": correct, "idle": idle, "edit": edit}


def needs(run_id: str, kind: str, job: Job) -> list[tuple[str, str]]:
    """What that run takes, said once more by the test."""
    everywhere, tenant, document = ("everywhere", ""), ("tenant", job.tenant), ("document", job.document)
    return {
        "write": [everywhere, tenant, document],
        "correct": [document] if is_child(run_id) else [document, tenant],
        "idle": [everywhere],
        "edit": [everywhere, tenant],
        "chapter": [],
    }[kind]


def number_of(run_id: str) -> int:
    """The number of the job of a run; a child's is its parent's."""
    return int(run_id.split(maxsplit=1)[0])


def is_child(run_id: str) -> bool:
    """Whether it was begun by another run."""
    return " " in run_id


HOUR_S = 3_600.0
AT_ONCE = {"everywhere": 3, "tenant": 2, "document": 1}


class PowerCutError(Exception):
    """The power was cut."""


@dataclass(slots=True)
class Power:
    """Goes off at the points of writes whose numbers, counted from 1, are in ``cuts``."""

    cuts: frozenset[int]
    passed: int = 0

    def __call__(self, point: str) -> None:
        """Count a point that was passed, and fail there if it is one of them."""
        self.passed += 1
        if self.passed in self.cuts:
            raise PowerCutError(point)


class Desk:
    """Where runs do their work until they are told to end it."""

    def __init__(self) -> None:
        self.at_work: set[int] = set()
        self.may_end: dict[int, asyncio.Event] = {}

    @step
    async def work(self, job: Job) -> int:
        """Be at work until it may end."""
        assert job.number not in self.at_work
        self.at_work.add(job.number)
        try:
            await self.may_end.setdefault(job.number, asyncio.Event()).wait()
        finally:
            self.at_work.discard(job.number)
        return job.number


@dataclass(frozen=True, slots=True)
class Plan:
    """A run to start: of which kind, on what, how urgent, and whether it is signalled at once."""

    kind: str
    job: Job
    priority: int
    signalled: bool = False


@dataclass(slots=True)
class Office:
    """All runs, on one file, through as many engines as it takes."""

    path: Path
    plans: list[Plan]
    # Of those that are open, so many times the one that is cancelled (False) or ends (True), by its place.
    script: list[tuple[int, bool]]
    power: Power
    most_in_memory: int = MOST_IN_MEMORY
    desk: Desk = field(default_factory=Desk)
    clock: ManualClock = field(default_factory=ManualClock)
    done: int = 0
    cancelled: set[str] = field(default_factory=set)

    async def live(self) -> None:
        """Open engines until every run has ended as it should."""
        while True:
            engine = EmbeddedEngine(
                self.path,
                workflows=[*KINDS.values(), chapter],
                steps=[self.desk],
                clock=self.clock,
                most_runs_in_memory=self.most_in_memory,
                fault=self.power,
            )
            with suppress(JournalError):
                async with engine:
                    await self._with(engine)
                    return

    async def _with(self, engine: EmbeddedEngine) -> None:
        for plan in self.plans:
            kind, run_id = KINDS[plan.kind], f"{plan.job.number}"
            run = await engine.start(kind, plan.job, id=run_id, priority=plan.priority)
            if plan.signalled:
                await self._signal(run)
            await self._check(engine)
        while open_infos := [info for info in await self._infos(engine) if not info.status.closed]:
            place, ends = self.script[self.done % len(self.script)]
            moving = [info for info in open_infos if info.status is not Status.PENDING]
            assert moving, "all that is left waits for each other"
            place += self.done // len(self.script)  # each round another one, or some would never be chosen
            self.done += 1
            if ends:
                await self._end(engine, moving[place % len(moving)])
            else:
                await self._cancel(engine, open_infos[place % len(open_infos)])
            await self._check(engine)
        ended = {info.id: info.status for info in await self._infos(engine)}
        assert ended.keys() >= {f"{plan.job.number}" for plan in self.plans}
        for run_id in ended:
            await self._check_story(await engine.get(run_id), ended)

    async def _end(self, engine: EmbeddedEngine, info: RunInfo) -> None:
        number = number_of(info.id)
        if self.plans[number].kind == "idle":
            await self._signal(await engine.get(info.id))
        else:
            self.desk.may_end.setdefault(number, asyncio.Event()).set()

    async def _signal(self, run: Run[int]) -> None:
        with suppress(RunClosedError):  # it came through before the power was cut
            await run.signal("go", 1, id="go")

    async def _cancel(self, engine: EmbeddedEngine, info: RunInfo) -> None:
        self.cancelled.add(info.id)
        await (await engine.get(info.id)).cancel()

    async def _infos(self, engine: EmbeddedEngine) -> list[RunInfo]:
        return sorted(await engine.list(limit=1_000), key=lambda info: (number_of(info.id), info.id))

    async def _check(self, engine: EmbeddedEngine) -> None:
        await settle(engine, lambda: len(self.desk.at_work))
        infos = await self._infos(engine)
        assert [info.reason for info in infos if info.status is Status.STUCK] == []
        taken = Counter(
            slot
            for info in infos
            if not info.status.closed and info.status is not Status.PENDING
            for slot in self._needs(info)
        )
        assert all(count <= AT_ONCE[limit] for (limit, _), count in taken.items()), taken
        at_work = {number_of(info.id) for info in infos if info.status is Status.RUNNING}
        assert self.desk.at_work <= at_work, "work goes on for a run that is not under way"
        for info in infos:
            if info.status is Status.PENDING:
                full = [slot for slot in self._needs(info) if taken[slot] >= AT_ONCE[slot[0]]]
                assert full, f"run {info.id} waits for nothing: {taken}"
                assert all(f"limit '{limit}'" in info.reason for limit, _ in full)

    def _needs(self, info: RunInfo) -> list[tuple[str, str]]:
        return needs(info.id, info.workflow, self.plans[number_of(info.id)].job)

    async def _check_story(self, run: Run[int], ended: Mapping[str, Status]) -> None:
        number = number_of(run.id)
        events = await all_events(run)
        assert [event.offset for event in events] == list(range(1, len(events) + 1))
        assert [event.at for event in events] == sorted(event.at for event in events)
        family = {run_id for run_id in self.cancelled if number_of(run_id) == number}
        if ended[run.id] is Status.CANCELLED:
            assert family if is_child(run.id) else run.id in self.cancelled
            assert events[-1].type is EventType.RUN_CANCELLED
        elif ended[run.id] is Status.FAILED:
            assert not is_child(run.id)
            assert any(map(is_child, family)), "only what became of a child makes its parent fail"
        else:
            assert await run.result() == number


def office(
    path: Path, plans: list[Plan], script: list[tuple[int, bool]], cuts: frozenset[int], most: int
) -> Power:
    """Let all of it happen, and tell how many points of writes were passed."""
    power = Power(cuts)
    asyncio.run(Office(path, plans, script, power, most).live())
    return power


@st.composite
def offices(draw: st.DrawFn) -> list[Plan]:
    """Some runs of all kinds for a few tenants and documents."""
    chosen = st.tuples(
        st.sampled_from(sorted(KINDS)),
        st.sampled_from("tu"),
        st.sampled_from("xyz"),
        st.integers(1, 5),
        st.booleans(),
    )
    return [
        Plan(kind, Job(number=number, tenant=tenant, document=document), priority, signalled)
        for number, (kind, tenant, document, priority, signalled) in enumerate(
            draw(st.lists(chosen, min_size=1, max_size=12))
        )
    ]


# Now and then one is cancelled; most end.
scripts = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from([True, True, True, False])), min_size=1, max_size=12
).filter(lambda script: any(ends for _, ends in script))


@pytest.mark.parametrize("most", [MOST_IN_MEMORY, 0])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(plans=offices(), script=scripts, cuts=st.frozensets(st.integers(1, 120), max_size=4))
def test_generated_offices_keep_their_limits(
    plans: list[Plan], script: list[tuple[int, bool]], cuts: frozenset[int], most: int
) -> None:
    """Whatever runs there are, in whatever order they end, and wherever the power is cut."""
    with tempfile.TemporaryDirectory() as folder:
        office(Path(folder, "runs.db"), plans, script, cuts, most)


FEW: list[Plan] = [
    Plan(kind, Job(number=number, tenant="t", document="x"), priority, signalled)
    for number, (kind, priority, signalled) in enumerate(
        [
            ("idle", 3, False),
            ("write", 3, False),
            ("write", 3, False),
            ("correct", 1, False),
            ("idle", 3, False),
            ("idle", 3, True),
            ("edit", 3, False),
        ]
    )
]


@pytest.mark.parametrize("most", [MOST_IN_MEMORY, 0])
@pytest.mark.parametrize("script", [[(0, True)], [(3, False), (0, True)]], ids=["ends", "cancels"])
def test_limits_are_kept_through_a_crash_at_each_write(script: list[tuple[int, bool]], most: int) -> None:
    """One life for each point at which the power can be cut: before a run waits, begins, and ends."""
    with tempfile.TemporaryDirectory() as folder:
        passed = office(Path(folder, "0.db"), FEW, script, frozenset(), most).passed
        for cut in range(1, passed + 1):
            office(Path(folder, f"{cut}.db"), FEW, script, frozenset({cut}), most)


async def test_keys_of_limits_are_as_secret_as_the_input_they_are_of(tmp_path: Path) -> None:
    """With encryption no key of a limit is in the file, and yet the limit is kept through a restart."""
    path, desk = tmp_path / "runs.db", Desk()
    encryption = Encryption({"k": os.urandom(32)})
    jobs = [Job(number=number, tenant="tenant-of-ours", document="secret-paper") for number in range(2)]
    for _ in range(2):
        async with EmbeddedEngine(path, workflows=[write], steps=[desk], encryption=encryption) as engine:
            runs = [await engine.start(write, job, id=f"{job.number}") for job in jobs]
            info = await runs[-1].describe()
            assert info.status is Status.PENDING
            assert "of 'secret-paper' (1 of 1 taken)" in info.reason
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"everywhere" in stored
    assert b"secret-paper" not in stored
    assert b"tenant-of-ours" not in stored


@workflow(limits=[Limit(1)])
async def watch(ctx: Context, name: str) -> list[float]:
    """Say when it began, when it was told something, and when it had slept for an hour after that."""
    began = ctx.now().timestamp()
    await ctx.receive("go", int)
    told = ctx.now().timestamp()
    await ctx.sleep(HOUR_S)
    return [began, told, ctx.now().timestamp()]


async def test_a_runs_time_begins_when_it_has_its_place(tmp_path: Path) -> None:
    """However long it waited, and however often it is replayed; what it was sent meanwhile comes then."""
    path, clock = tmp_path / "runs.db", ManualClock()
    async with EmbeddedEngine(path, workflows=[watch], clock=clock) as engine:
        runs = [await engine.start(watch, name, id=name) for name in ("first", "second")]
        await clock.advance(hours=1)
        await runs[1].signal("go", 1)
        await clock.advance(hours=1)
        await runs[0].cancel()
        await settle(engine)
        assert (await runs[1].describe()).status is Status.WAITING
    async with EmbeddedEngine(path, workflows=[watch], clock=clock) as engine:
        run = await engine.get("second")
        await clock.advance(minutes=59)
        await settle(engine)
        assert (await run.describe()).status is Status.WAITING
        await clock.advance(minutes=1)
        admitted = BEGINNING + 2 * HOUR_S
        assert await run.result() == [admitted, admitted, admitted + HOUR_S]


@workflow
async def twice(ctx: Context, job: Job) -> None:
    """Ask for one child two times at once."""
    await ctx.gather(ctx.child(idle, job, id="child"), ctx.child(idle, job, id="child"))


async def test_a_child_that_is_asked_for_twice_at_once_waits_once(tmp_path: Path) -> None:
    """It is known from the moment in which it begins to wait, before that is durable."""
    async with EmbeddedEngine(tmp_path / "runs.db", workflows=[idle, twice]) as engine:
        jobs = [Job(number=number, tenant="t", document="x") for number in range(4)]
        for job in jobs[:3]:
            await engine.start(idle, job)
        run = await engine.start(twice, jobs[3])
        await settle(engine)
        assert [info.id for info in await engine.list(status=[Status.PENDING])] == ["child"]
        await run.cancel(force_after=0)
        await settle(engine)
        assert (await (await engine.get("child")).describe()).status is Status.CANCELLED

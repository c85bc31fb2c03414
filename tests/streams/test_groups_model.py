"""Whatever is done with a stream and its groups, in whatever order: a small model says what comes of it."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from orchestrator.streams import DeadLetter, Delivery, Pending, dead_letters
from support.stream_lab import EmbeddedLab

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

T = TypeVar("T")

MOST_DELIVERIES = 2
GROUPS = st.sampled_from(["red", "blue"])
CONSUMERS = st.sampled_from(["ada", "bob", "cy"])
LIMITS = st.integers(1, 5)
IDLE_S = st.sampled_from([0.0, 1.0, 5.0, 60.0])
OFFSETS = st.integers(1, 30)


@dataclass(slots=True)
class GroupModel:
    """How far a group has read, and who holds what."""

    position: int
    held: dict[int, Pending] = field(default_factory=dict)


class StreamMachine(RuleBasedStateMachine):
    """One stream, two groups, three consumers, and a file that is closed or crashes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.entries: dict[int, bytes] = {}
        self.end = 0
        self.groups: dict[str, GroupModel] = {}
        self.dead: dict[tuple[int, str, str], int] = {}

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Do it on the loop of this machine."""
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        """Open an empty file."""

        async def opened() -> EmbeddedLab:
            return EmbeddedLab(Path(self.folder.name, "streams.db"))

        self.lab = self.run(opened())

    def teardown(self) -> None:
        """Close what was opened."""
        self.run(self.lab.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(count=st.integers(1, 4))
    def append(self, count: int) -> None:
        """Several at once."""

        async def appended() -> list[int]:
            return await asyncio.gather(
                *[self.lab.streams.append("work", "t", str(self.end + n).encode()) for n in range(count)]
            )

        for offset in self.run(appended()):
            self.end += 1
            assert offset == self.end
            self.entries[offset] = str(self.end - 1).encode()

    @rule(name=GROUPS, after=st.integers(0, 20))
    def open_group(self, name: str, after: int) -> None:
        """Where it begins counts for a new one alone."""
        self.run(self.lab.streams.group("work", name, after=after))
        trimmed = min(self.entries, default=self.end + 1) - 1
        self.groups.setdefault(name, GroupModel(max(after, trimmed)))

    @rule(name=GROUPS, readers=st.lists(st.tuples(CONSUMERS, LIMITS), min_size=1, max_size=3))
    def read(self, name: str, readers: list[tuple[str, int]]) -> None:
        """Some consumers at once."""
        model = self.groups.setdefault(name, GroupModel(self.trimmed))

        async def got() -> list[list[Delivery]]:
            group = await self.lab.streams.group("work", name)
            return await asyncio.gather(*[group.read(reader, limit, wait_s=0) for reader, limit in readers])

        every = self.run(got())
        wanted = sum(limit for _, limit in readers)
        unread = [offset for offset in self.entries if offset > model.position][:wanted]
        assert sorted(one.offset for of_one in every for one in of_one) == unread
        for (reader, limit), of_one in zip(readers, every, strict=True):
            assert len(of_one) <= limit
            self.note(model, reader, of_one)
        model.position = max([model.position, *unread])

    @rule(name=GROUPS, offsets=st.lists(OFFSETS, max_size=8))
    def ack(self, name: str, offsets: list[int]) -> None:
        """Any offsets, held or not."""
        model = self.groups.setdefault(name, GroupModel(self.trimmed))

        async def acked() -> int:
            return await (await self.lab.streams.group("work", name)).ack(*offsets)

        assert self.run(acked()) == len(set(offsets) & model.held.keys())
        for offset in offsets:
            model.held.pop(offset, None)

    @rule(name=GROUPS, offset=OFFSETS)
    def reject(self, name: str, offset: int) -> None:
        """What is held dies at once."""
        model = self.groups.setdefault(name, GroupModel(self.trimmed))

        async def rejected() -> bool:
            return await (await self.lab.streams.group("work", name)).reject(offset, "rejected")

        held = model.held.pop(offset, None)
        assert self.run(rejected()) == (held is not None)
        if held is not None:
            self.bury(offset, name, "rejected")

    @rule(
        name=GROUPS,
        consumer=CONSUMERS,
        idle_s=IDLE_S,
        limit=LIMITS,
        held_by=st.one_of(st.none(), CONSUMERS),
    )
    def claim(self, name: str, consumer: str, idle_s: float, limit: int, held_by: str | None) -> None:
        """What is idle long enough lives on or dies, by how often it was handed out."""
        model = self.groups.setdefault(name, GroupModel(self.trimmed))
        idle = {
            offset: held
            for offset, held in model.held.items()
            if self.lab.clock.now - held.since >= idle_s and held_by in {None, held.consumer}
        }
        worn = {offset for offset, held in idle.items() if held.count >= MOST_DELIVERIES}
        before = set(model.held)

        async def claimed() -> tuple[list[Delivery], set[int]]:
            group = await self.lab.streams.group("work", name, most_deliveries=MOST_DELIVERIES)
            got = await group.claim(consumer, idle_s, limit, held_by=held_by)
            return got, {held.offset for held in await group.pending()}

        got, left = self.run(claimed())
        offsets = [delivery.offset for delivery in got]
        died = before - left
        assert offsets == sorted(offsets)
        assert set(offsets) <= idle.keys() - worn
        assert len(offsets) == min(limit, len(idle.keys() - worn)) or (died and offsets)
        assert died <= worn
        assert died == worn or offsets
        for offset in died:
            del model.held[offset]
            self.bury(offset, name, f"handed out {MOST_DELIVERIES} times and never acknowledged")
        self.note(model, consumer, got)

    @rule(seconds=st.sampled_from([0.5, 1.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        """What is held becomes idle."""
        self.run(self.lab.pass_time(seconds))

    @rule(keep=st.integers(0, 10))
    def trim(self, keep: int) -> None:
        """What some group still needs stays."""
        needed = [min([model.position + 1, *model.held]) for model in self.groups.values()]
        self.cut(min([self.end - keep, *[offset - 1 for offset in needed]]))
        self.run(self.lab.streams.trim("work", keep=keep))

    @rule(before=OFFSETS)
    def trim_regardless(self, before: int) -> None:
        """Groups lose what is trimmed."""
        upto = min(before - 1, self.end)
        removed = sum(offset <= upto for offset in self.entries)
        assert self.run(self.lab.streams.trim("work", before=before, unacknowledged=True)) == removed
        self.cut(upto)

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:  # noqa: FBT001  # hypothesis names its arguments
        """Everything that was told is still so."""

        async def anew() -> None:
            if crash:
                self.lab.crash()
            else:
                await self.lab.restart()

        self.run(anew())

    @rule(name=GROUPS)
    def delete_group(self, name: str) -> None:
        """It is as if it had never been."""

        async def deleted() -> None:
            await (await self.lab.streams.group("work", name)).delete()

        self.run(deleted())
        self.groups.pop(name, None)

    @rule()
    def delete_stream(self) -> None:
        """Only the dead letters stay."""
        self.run(self.lab.streams.delete("work"))
        self.entries.clear()
        self.groups.clear()
        self.end = 0

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        """Entries, groups, what is held, what is still to be read, and the dead."""

        async def found() -> None:
            streams = self.lab.streams
            entries = {entry.offset: entry.data for entry in await streams.read("work")}
            assert entries == self.entries
            assert await streams.groups("work") == sorted(self.groups)
            for name, model in self.groups.items():
                group = await streams.group("work", name)
                assert await group.pending() == [held for _, held in sorted(model.held.items())]
                assert await group.lag() == sum(offset > model.position for offset in entries)
            letters = [DeadLetter.of(entry) for entry in await streams.read(dead_letters("work"))]
            dead: dict[tuple[int, str, str], int] = {}
            for letter in letters:
                place = letter.entry.offset, letter.group, letter.reason
                dead[place] = dead.get(place, 0) + 1
            assert dead == self.dead

        self.run(found())

    @property
    def trimmed(self) -> int:
        """The last offset that is gone; a new group begins behind it."""
        return min(self.entries, default=self.end + 1) - 1

    def note(self, model: GroupModel, consumer: str, got: Sequence[Delivery]) -> None:
        """Each is what was appended, and is held by that consumer from now on."""
        for delivery in got:
            assert delivery.entry.data == self.entries[delivery.offset]
            before = model.held.get(delivery.offset)
            assert delivery.count == (before.count + 1 if before else 1)
            model.held[delivery.offset] = Pending(
                delivery.offset, consumer, self.lab.clock.now, delivery.count
            )

    def bury(self, offset: int, name: str, reason: str) -> None:
        """One more dead letter."""
        place = offset, name, reason
        self.dead[place] = self.dead.get(place, 0) + 1

    def cut(self, upto: int) -> None:
        """Entries up to there are gone, and from those who held them."""
        self.entries = {offset: data for offset, data in self.entries.items() if offset > upto}
        for model in self.groups.values():
            model.held = {offset: held for offset, held in model.held.items() if offset > upto}
            model.position = max(model.position, min(upto, self.end))


TestStreamMachine = StreamMachine.TestCase
TestStreamMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)

"""Wherever the power is cut, a group loses no entry, and repeats none that was acknowledged."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.journal import JournalError
from orchestrator.streams import DeadLetter, dead_letters
from orchestrator.testing.power import Power
from support.stream_lab import EmbeddedLab

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.streams import Delivery, EmbeddedStreams, Group

ENTRIES = 9
REJECTED = {2, 6}
# Nobody acknowledges these: as if each consumer died of them.
DEADLY = {3, 7}
MOST_DELIVERIES = 2
KEPT = 2


@dataclass(slots=True)
class Life:
    """Work on one stream until all is done, through as many processes as it takes."""

    path: Path
    power: Power
    lives: int = 0
    acknowledged: set[int] = field(default_factory=set)
    handed: dict[int, int] = field(default_factory=dict)

    async def live(self) -> None:
        """Open the file and work until it is done."""
        done = False
        while not done:
            self.lives += 1
            lab = EmbeddedLab(self.path, self.power)
            try:
                with suppress(JournalError):
                    await self.work(lab)
                    done = True
            finally:
                await lab.close()
        lab = EmbeddedLab(self.path)
        await self.check_the_end(lab)
        await lab.close()

    async def work(self, lab: EmbeddedLab) -> None:
        """Append what is missing, work on all of it by two consumers, and clear up."""
        streams = lab.streams
        written = len(await streams.read("work"))
        if not await streams.read("worked"):
            (group, other), _ = await asyncio.gather(
                asyncio.gather(
                    streams.group("work", "g", most_deliveries=MOST_DELIVERIES),
                    streams.group("work", "other", after=4),
                ),
                asyncio.gather(*[streams.append("work", "t", b"") for _ in range(written, ENTRIES)]),
            )
            await asyncio.gather(self.consume(lab, group, "ada"), self.consume(lab, group, "bob"))
            for delivery in await other.claim("cy", 0) + await other.read("cy", wait_s=0):
                await other.ack(delivery.offset)
            await streams.append("worked", "t", b"")
        await streams.trim("work", keep=KEPT)
        await (await streams.group("work", "other", after="end")).delete()
        await (await streams.group("gone", "g")).read("ada", wait_s=0)
        await streams.delete("gone")

    async def consume(self, lab: EmbeddedLab, group: Group, name: str) -> None:
        """Take what the dead hold, then what is new, and at last what nobody acknowledged."""
        consumer = f"{name} {self.lives}"
        for dead in range(1, self.lives):
            while got := await group.claim(consumer, 0, 2, held_by=f"{name} {dead}"):
                await self.deal_with(lab, group, consumer, got)
        while got := await group.read(consumer, 2, wait_s=0):
            await self.deal_with(lab, group, consumer, got)
        while got := await group.claim(consumer, 0, 2, held_by=consumer):
            await self.deal_with(lab, group, consumer, got)

    async def deal_with(self, lab: EmbeddedLab, group: Group, consumer: str, got: Sequence[Delivery]) -> None:
        """Check that each was handed out rightly, and settle it."""
        for delivery in got:
            self.check_handed(lab.streams, consumer, delivery)
        fine = [one.offset for one in got if one.offset not in REJECTED | DEADLY]
        await group.ack(*fine)
        self.acknowledged.update(fine)
        for delivery in got:
            if delivery.offset in REJECTED:
                assert await group.reject(delivery.offset, "why")

    def check_handed(self, streams: EmbeddedStreams, consumer: str, delivery: Delivery) -> None:
        """It was not acknowledged, counts on, and that it is handed out is on the disk."""
        assert delivery.offset not in self.acknowledged
        assert self.handed.get(delivery.offset, 0) < delivery.count <= MOST_DELIVERIES
        self.handed[delivery.offset] = delivery.count
        (durable,) = streams._journal.read(
            "SELECT consumer, count FROM deliveries JOIN consumer_groups ON number = consumer_group "
            "WHERE name = 'g' AND offset = ?",
            (delivery.offset,),
        )
        assert durable == (consumer, delivery.count)

    async def check_the_end(self, lab: EmbeddedLab) -> None:
        """Each entry was dealt with, each dead one has one letter, and nothing is left behind."""
        group = await lab.streams.group("work", "g")
        assert await group.pending() == []
        assert await group.lag() == 0
        letters = [DeadLetter.of(entry) for entry in await lab.streams.read(dead_letters("work"))]
        assert sorted(letter.entry.offset for letter in letters) == sorted(REJECTED | DEADLY)
        assert {letter.entry.offset for letter in letters if letter.reason == "why"} == REJECTED
        assert set(self.handed) == set(range(1, ENTRIES + 1))
        assert [entry.offset for entry in await lab.streams.read("work")] == [ENTRIES - 1, ENTRIES]
        assert await lab.streams.append("work", "t", b"") == ENTRIES + 1
        assert await lab.streams.groups("work") == ["g"]
        names = lab.journal.read("SELECT name FROM streams ORDER BY name")
        assert [name for (name,) in names] == ["work", "work.dead", "worked"]
        assert lab.journal.read("SELECT * FROM deliveries") == []


async def survive(folder: Path) -> None:
    """Live once in peace, then once for each point at which the power can be cut."""
    power = Power()
    calm = Life(folder / "calm.db", power)
    await calm.live()
    assert calm.lives == 1
    assert calm.acknowledged == set(range(1, ENTRIES + 1)) - REJECTED - DEADLY
    crashes = 0
    for cut_at in range(1, power.passed + 1):
        life = Life(folder / f"{cut_at}.db", Power(cut_at))
        await life.live()
        crashes += life.lives - 1
    # How many commits a life takes differs a little, so the last points may lie behind its end.
    assert 0.8 * power.passed < crashes <= power.passed


@pytest.mark.parametrize("group_rows", [1, 1_000])
async def test_a_group_survives_a_crash_at_each_write(
    monkeypatch: pytest.MonkeyPatch, group_rows: int
) -> None:
    """Reading, claiming, acknowledging, rejecting, trimming and deleting, however small the commits."""
    monkeypatch.setattr("orchestrator.journal.writer.GROUP_ROWS", group_rows)
    with tempfile.TemporaryDirectory() as folder:
        await survive(Path(folder))

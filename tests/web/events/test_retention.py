"""The stream of events is kept for a week, and never without bound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.web.events import STREAM, Erasures
from orchestrator.web.events import retention as retention_module
from orchestrator.web.events.erasures import ERASED
from orchestrator.web.events.retention import Retention
from support.stream_lab import EmbeddedLab, embedded, turns

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

DAY_S = 86_400


async def offsets(lab: EmbeddedLab) -> list[int]:
    """The offsets that are left."""
    return [entry.offset for entry in await lab.streams.read(STREAM)]


async def test_what_is_older_than_a_week_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many pages as it takes; what is younger stays."""
    monkeypatch.setattr(retention_module, "PAGE", 2)
    async with embedded(tmp_path) as lab:
        for _ in range(5):
            await lab.streams.append(STREAM, "made", b"{}")
        await lab.pass_time(6 * DAY_S)
        await lab.streams.append(STREAM, "made", b"{}")
        retention = Retention(lambda: lab.streams, lab.clock)
        await retention.trim()
        assert await offsets(lab) == [1, 2, 3, 4, 5, 6]
        await lab.pass_time(1.5 * DAY_S)
        await retention.trim()
        assert await offsets(lab) == [6]


async def test_more_than_may_be_kept_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first, however young it is."""
    monkeypatch.setattr(retention_module, "MOST_KEPT", 3)
    async with embedded(tmp_path) as lab:
        for _ in range(5):
            await lab.streams.append(STREAM, "made", b"{}")
        await Retention(lambda: lab.streams, lab.clock).trim()
        assert await offsets(lab) == [3, 4, 5]


async def test_what_a_group_has_not_seen_stays(tmp_path: Path) -> None:
    """Webhooks lose nothing, however long they could not be delivered."""
    async with embedded(tmp_path) as lab:
        group = await lab.streams.group(STREAM, "webhooks")
        for _ in range(3):
            await lab.streams.append(STREAM, "made", b"{}")
        (first,) = await group.read("one", limit=1)
        await group.ack(first.offset)
        await lab.pass_time(30 * DAY_S)
        await Retention(lambda: lab.streams, lab.clock).trim()
        assert await offsets(lab) == [2, 3]


async def test_who_was_erased_is_forgotten_too(tmp_path: Path) -> None:
    """After a week there is no event that could still come back, and no note of whose it was."""
    async with embedded(tmp_path) as lab:
        await Erasures(lambda: lab.streams, lab.clock).note("ann")
        retention = Retention(lambda: lab.streams, lab.clock)
        await retention.trim()
        (note,) = await lab.streams.read(ERASED)
        assert "ann" not in f"{note}"
        await lab.pass_time(8 * DAY_S)
        await retention.trim()
        assert await lab.streams.read(ERASED) == []


async def test_it_is_done_hour_after_hour(tmp_path: Path) -> None:
    """By the service's clock."""
    async with embedded(tmp_path) as lab:
        await lab.streams.append(STREAM, "made", b"{}")
        keeping = asyncio.create_task(Retention(lambda: lab.streams, lab.clock).keep_always())
        while await offsets(lab):
            await lab.pass_time(DAY_S)
            await turns()
        keeping.cancel()
        await asyncio.wait([keeping])

"""The log of a run's events: one order for all, however many carry the history over."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.converter import DataConverter

from orchestrator.durable.runs import Event, EventType
from orchestrator.durable.temporal.event_log import EventLog, Told, key_of
from support.stream_lab import embedded, embedded_streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from support.stream_lab import EmbeddedLab

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def told(kind: EventType, what: str, operation: str = "", data: str | None = None) -> Told:
    """An event of the history ``h``."""
    return Told(key_of("h", operation, what), Event(0, kind, NOW, "step", operation, 1, data))


HISTORY = [
    told(EventType.RUN_STARTED, "1"),
    told(EventType.STEP_STARTED, "5", "1"),
    told(EventType.STEP_COMPLETED, "7", "1"),
    told(EventType.STEP_STARTED, "11", "2.0/1"),
    told(EventType.STEP_FAILED, "13", "2.0/1"),
    told(EventType.RUN_FAILED, "17"),
]


async def shown(log: EventLog, after: int, last: EventType = EventType.RUN_FAILED) -> list[Event]:
    """What a watcher sees up to an event of that type."""
    events = []
    async for event in log.follow(after):
        events.append(event)
        if event.type is last:
            break
    return events


async def logged(orders: Sequence[int], cuts: Sequence[int]) -> list[tuple[int, EventType, str]]:
    """What is in a log after projectors, each with pages of its own, have appended in these turns."""
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_streams(Path(folder) / "streams.db") as streams:
            log = EventLog(streams, "run", DataConverter.default)
            places = [0] * len(cuts)
            for projector in orders:
                upto = places[projector] + cuts[projector]
                await log.append(HISTORY[places[projector] : upto])
                places[projector] = min(upto, len(HISTORY))
            for place in places:
                await log.append(HISTORY[place:])
            return [(event.offset, event.type, event.operation) for event in await shown(log, 0)]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_racing_projectors_agree_on_one_order(data: st.DataObject) -> None:
    """Whoever is ahead, behind or stops half-way: each event is there once, in the order of the history."""
    cuts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    orders = data.draw(st.lists(st.integers(0, len(cuts) - 1), max_size=12))
    entries = asyncio.run(logged(orders, cuts))
    assert entries == [
        (number, one.event.type, one.event.operation) for number, one in enumerate(HISTORY, start=1)
    ]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[EmbeddedLab]:
    """Streams in a file, with a clock of the test's own."""
    async with embedded(tmp_path) as opened:
        yield opened


async def test_what_a_lost_attempt_says_after_the_outcome_is_not_shown(lab: EmbeddedLab) -> None:
    """Not to whoever sees all, nor to whoever comes back in the midst of the step or after it."""
    log = EventLog(lab.streams, "run", DataConverter.default)
    early = told(EventType.STEP_PROGRESS, "1.1", "1", "early")
    late = [told(EventType.STEP_PROGRESS, "1.2", "1", "late"), told(EventType.STEP_RETRYING, "1.3", "1")]
    await log.append([*HISTORY[:2], early, HISTORY[2], *late, *HISTORY[3:]])
    offsets = [event.offset for event in await shown(log, 0)]
    assert offsets == [1, 2, 3, 4, 7, 8, 9]
    for after in range(9):
        assert [event.offset for event in await shown(log, after)] == [one for one in offsets if one > after]


async def test_progress_between_start_and_outcome_is_shown_to_whoever_comes_back(lab: EmbeddedLab) -> None:
    """Also when the step's start is before what is asked for."""
    log = EventLog(lab.streams, "run", DataConverter.default)
    said = [told(EventType.STEP_PROGRESS, f"1.{number}", "1", str(number)) for number in (1, 2)]
    await log.append([*HISTORY[:2], *said, *HISTORY[2:]])
    assert [event.data for event in await shown(log, 3)][:2] == ["2", None]


async def test_the_present_history_is_known_and_what_is_long_before_it_forgotten(
    lab: EmbeddedLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workflow without an end does not fill the streams."""
    monkeypatch.setattr("orchestrator.durable.temporal.event_log.KEPT_BEFORE_PRESENT", 2)
    log = EventLog(lab.streams, "run", DataConverter.default)
    assert (await log.present_history(), await log.begins_at("h")) == ("", 0)
    await log.append(HISTORY)
    for history, offset in (("h", 1), ("i", 5), ("h", 1)):
        await log.begin_history(history, offset)
    assert (await log.present_history(), await log.begins_at("h"), await log.begins_at("i")) == ("i", 1, 5)
    assert [entry.offset for entry in await lab.streams.read("run")] == [3, 4, 5, 6]
    assert (await log.has(2), await log.has(3), await log.has(7)) == (False, True, False)


async def test_a_log_expires_with_all_that_belongs_to_it(lab: EmbeddedLab) -> None:
    """So many seconds after the last event."""
    log = EventLog(lab.streams, "run", DataConverter.default)
    await log.append(HISTORY)
    await log.begin_history("h", 1)
    await log.expire(60.0)
    await lab.pass_time(59)
    assert await log.has(1)
    await lab.pass_time(2)
    assert not await log.has(1)
    assert await log.present_history() == ""

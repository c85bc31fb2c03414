"""Events are told if what they tell of was committed: once, in their owner's order, soon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete

from orchestrator.core.clock import utc
from orchestrator.core.errors import ForbiddenError, UnavailableError
from orchestrator.web.events import STREAM, Erasures, NewEvent
from orchestrator.web.events import outbox as outbox_module
from orchestrator.web.events.erasures import PURGED_FOR_S
from orchestrator.web.events.tables import OutboxRow
from support.events_lab import EventsLab, events_lab
from support.stream_lab import turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.tables import Tables


@pytest.fixture
async def lab(tables: Tables) -> AsyncIterator[EventsLab]:
    """A process that relays when it is told to."""
    async with events_lab(tables) as lab:
        yield lab


def numbered(owner: str, number: int) -> NewEvent:
    """One of an owner's events."""
    return NewEvent("thing_made", owner, {"number": number})


async def undo(lab: EventsLab, event: NewEvent) -> None:
    """A transaction that tells of an event, and fails."""
    async with lab.database.session(event.owner) as session:
        lab.outbox.add(session, event)
        raise RuntimeError


async def nobody_waits(lab: EventsLab) -> bool:
    """Whether the outbox is empty."""
    return await lab.waiting() == 0


async def is_degraded(lab: EventsLab) -> bool:
    """Whether the outbox says that events wait."""
    return await lab.health() == "degraded"


async def is_healthy(lab: EventsLab) -> bool:
    """Whether the outbox says that events go on."""
    return await lab.health() == "healthy"


async def test_a_committed_event_goes_to_the_stream_as_it_was_told(lab: EventsLab) -> None:
    """With its id, owner, time and data; the row is gone."""
    event = NewEvent("thing_made", "ann", {"thing": "潮汐 \0", "size": 2.5, "tags": [None, True]})
    await lab.tell(event)

    assert await lab.outbox.relay() == 1
    (told,) = await lab.told()
    assert (told.id, told.type, told.owner, told.data) == (event.id, "thing_made", "ann", event.data)
    assert (told.at, told.offset) == (utc(lab.clock.now), 1)
    assert await lab.waiting() == 0


async def test_what_was_undone_is_not_told(lab: EventsLab) -> None:
    """The event goes with the transaction, and nobody is woken for it."""
    async with lab.outbox:
        with pytest.raises(RuntimeError):
            await undo(lab, numbered("ann", 1))
        await lab.tell(numbered("ann", 2))
        await lab.until(lambda: nobody_waits(lab))

    assert [event.data for event in await lab.told()] == [{"number": 2}]


async def test_nobody_tells_of_someone_elses_thing(lab: EventsLab) -> None:
    """A session of one owner cannot put words into another's stream."""
    with pytest.raises(ForbiddenError):
        async with lab.database.session("ann") as session:
            lab.outbox.add(session, numbered("bob", 1))
    assert await lab.waiting() == 0


async def test_an_event_goes_on_right_after_its_commit(lab: EventsLab) -> None:
    """No time passes: the commit itself wakes the relay."""
    async with lab.outbox:
        for number in range(3):
            await lab.tell(numbered("ann", number))
            assert len(await lab.told_up_to(number + 1)) == number + 1


async def test_what_a_crash_left_behind_goes_on_at_the_next_start(lab: EventsLab) -> None:
    """Also more than one relay takes at once, in order."""
    await lab.tell(*[numbered("ann", number) for number in range(3)])
    async with lab.another().outbox:
        told = await lab.told_up_to(3)
    assert [event.data["number"] for event in told] == [0, 1, 2]


async def test_what_another_process_left_behind_goes_on_in_time(lab: EventsLab) -> None:
    """The sweep looks every half a minute."""
    living = lab.another()
    async with living.outbox:
        await living.tell(numbered("ann", 1))
        await living.told_up_to(1)
        await lab.until(lambda: nobody_waits(lab))
        await lab.tell(numbered("ann", 2))  # and its process dies before it relays
        await turns()
        assert len(await lab.told()) == 1
        await lab.clock.advance(seconds=outbox_module.SWEPT_EVERY_S)
        assert [event.data["number"] for event in await lab.told_up_to(2)] == [1, 2]


async def test_an_event_that_was_relayed_and_not_forgotten_is_there_once(
    lab: EventsLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the stream and the row's end repeats the append, which adds nothing."""

    async def crash(_rows: object) -> int:
        raise UnavailableError("the power is gone")

    await lab.tell(numbered("ann", 1))
    with monkeypatch.context() as patch:
        patch.setattr(lab.outbox, "_forget", crash)
        with pytest.raises(UnavailableError):
            await lab.outbox.relay()
    await lab.tell(numbered("ann", 2))

    assert await lab.another().outbox.relay() == 2
    assert [event.data["number"] for event in await lab.told()] == [1, 2]


async def test_an_event_of_the_same_id_is_there_once(lab: EventsLab) -> None:
    """So a step that is tried again may tell again."""
    event = NewEvent("thing_made", "ann", {"number": 1}, id="thing-1")
    await lab.tell(event)
    await lab.outbox.relay()
    await lab.tell(event)
    await lab.outbox.relay()
    assert [told.id for told in await lab.told()] == ["thing-1"]


async def test_events_wait_for_a_stream_that_is_away(lab: EventsLab) -> None:
    """Health says so meanwhile, nothing is lost, and the order is kept."""
    async with lab.outbox:
        lab.is_away = True
        await lab.tell(numbered("ann", 1))
        await lab.until(lambda: is_degraded(lab))
        await lab.tell(numbered("ann", 2))
        assert (await lab.outbox.health()).detail == "The stream is away."

        lab.is_away = False
        await lab.clock.advance(seconds=5)
        assert [event.data["number"] for event in await lab.told_up_to(2)] == [1, 2]
        await lab.until(lambda: is_healthy(lab))


async def test_a_mistake_does_not_end_the_relay(lab: EventsLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk below the tables is an error that nobody explained; the relay goes on after it."""
    with monkeypatch.context() as patch:

        async def fail() -> Any:  # noqa: ANN401  # it never gives anything
            raise OSError("disk full")

        patch.setattr(lab.outbox, "_next", fail)
        await lab.outbox.__aenter__()
        await lab.until(lambda: is_degraded(lab))
    try:
        await lab.tell(numbered("ann", 1))
        await lab.clock.advance(seconds=5)
        assert len(await lab.told_up_to(1)) == 1
    finally:
        await lab.outbox.__aexit__()


async def test_several_processes_relay_each_event_once_in_its_owners_order(
    lab: EventsLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However their reads, appends and deletions fall between each other."""
    monkeypatch.setattr(outbox_module, "RELAYED_AT_ONCE", 3)
    labs = [lab, lab.another(), lab.another()]

    async def tell(owner: str) -> None:
        for number in range(12):
            teller = labs[number % 3]
            await teller.tell(numbered(owner, number))
            if number % 2:
                await asyncio.gather(*[each.outbox.relay() for each in labs[: 1 + number % 3]])

    await asyncio.gather(tell("ann"), tell("bob"), tell("eve"))
    await lab.outbox.relay()

    told = await lab.told()
    for owner in ("ann", "bob", "eve"):
        assert [event.data["number"] for event in told if event.owner == owner] == list(range(12))
    assert len({event.id for event in told}) == len(told) == 36


async def test_what_a_slow_relay_has_in_hand_does_not_outlive_an_erasure(
    lab: EventsLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it comes to the stream before the erasure ends or long after; others' events stay."""
    slow, erasures = lab.another(), Erasures(lambda: lab.streams, lab.clock)
    in_hand, go_on = asyncio.Event(), asyncio.Event()
    read = slow.outbox._next

    async def held() -> list[OutboxRow]:
        rows = await read()
        in_hand.set()
        await go_on.wait()
        return rows

    monkeypatch.setattr(slow.outbox, "_next", held)
    await lab.tell(numbered("ann", 1))
    await lab.tell(numbered("bob", 1))
    relaying = asyncio.create_task(slow.outbox.relay())
    await in_hand.wait()
    async with lab.database.session("ann") as session:
        await session.change(delete(OutboxRow))
    await erasures.note("ann")
    lab.clock.now += 3_600
    await lab.tell(numbered("ann", 2))  # who has a token still may begin anew
    await lab.outbox.relay()
    go_on.set()
    await relaying

    told = await lab.told()
    assert [(event.owner, event.data["number"]) for event in told] == [("bob", 1), ("ann", 2)]


async def test_what_a_relay_left_that_died_is_purged_in_time(lab: EventsLab) -> None:
    """It had brought the event to the stream, and did not come to see that the person had been erased."""
    erasures = Erasures(lambda: lab.streams, lab.clock)
    for owner in ("ann", "bob"):
        await lab.tell(numbered(owner, 1))
    await erasures.note("ann")
    await lab.outbox.relay()
    lab.clock.now += 60
    await lab.tell(numbered("ann", 2))
    await lab.outbox.relay()
    await lab.streams.append(STREAM, "thing_made", b"no event")

    assert await erasures.purge() == 1
    entries = await lab.streams.read(STREAM)
    assert [entry.offset for entry in entries] == [2, 3, 4]
    lab.clock.now += PURGED_FOR_S + 1
    assert await erasures.purge() == 0, "nobody looks for it for ever"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"type": "Made!"}, "no event type"),
        ({"id": "ä"}, "no event id"),
        ({"owner": ""}, "needs an owner"),
        ({"data": {"text": "x" * 40_000}}, "32,768 bytes at most"),
        ({"data": {"text": "\ud800"}}, "surrogates not allowed"),
        ({"data": {"size": float("nan")}}, "not JSON compliant"),
    ],
)
def test_what_no_event_can_be_is_refused_where_it_is_made(wrong: dict[str, Any], says: str) -> None:
    """Before it is written down, where it would keep all that come after it."""
    with pytest.raises(ValueError, match=says):
        NewEvent(**({"type": "made", "owner": "ann", "data": {}} | wrong))


async def test_the_stream_has_the_documented_name(lab: EventsLab) -> None:
    """Clients and operators know it by this name."""
    await lab.tell(numbered("ann", 1))
    await lab.outbox.relay()
    assert STREAM == "wisely.events"
    assert len(await lab.streams.read("wisely.events")) == 1

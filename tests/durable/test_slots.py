"""Slots of limits: never more than there are, never idle while somebody fits, and in order."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.durable.limits import Slot
from orchestrator.durable.slots import Claim, Slots

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = {"all": 4, "tenant": 2, "document": 1}
needs = st.builds(
    lambda everywhere, tenant, document: tuple(
        slot
        for slot in (
            Slot("all", None) if everywhere else None,
            Slot("tenant", tenant) if tenant else None,
            Slot("document", document) if document else None,
            Slot("unknown", None) if document == "z" else None,
        )
        if slot is not None
    ),
    st.booleans(),
    st.sampled_from(["", "t", "u"]),
    st.sampled_from(["", "x", "y", "z"]),
).filter(bool)


@dataclass
class Model:
    """The same with nothing but lists that are gone through from the beginning."""

    held: dict[int, tuple[Slot, ...]] = field(default_factory=dict)
    waiting: dict[int, tuple[int, tuple[Slot, ...]]] = field(default_factory=dict)

    def fits(self, slots: tuple[Slot, ...]) -> bool:
        """Whether all of these are free."""
        taken = [slot for held in self.held.values() for slot in held]
        return all(taken.count(slot) < AT_ONCE.get(slot.limit, 1_000_000) for slot in slots)

    def next(self) -> int | None:
        """The first in line who fits, who has his slots then."""
        for run, (_, slots) in sorted(self.waiting.items(), key=lambda item: (item[1][0], item[0])):
            if self.fits(slots):
                del self.waiting[run]
                self.held[run] = slots
                return run
        return None


class Slotted(RuleBasedStateMachine):
    """Runs come, wait, give up and end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(AT_ONCE)
        self.model = Model()
        self.number = 0

    @rule(slots=needs, priority=st.integers(1, 5))
    def come(self, slots: tuple[Slot, ...], priority: int) -> None:
        """A run has its slots at once, or waits."""
        self.number += 1
        fits = self.model.fits(slots)
        assert self.slots.take(self.number, slots) == fits
        if fits:
            self.model.held[self.number] = slots
        else:
            assert "waits for a place in limit " in self.slots.reason(slots)
            self.slots.enqueue(self.number, priority, slots)
            self.model.waiting[self.number] = (priority, slots)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A run ends, and all those who fit now begin in the right order."""
        run = data.draw(st.sampled_from(sorted(self.model.held)))
        del self.model.held[run]
        self.slots.release(run)
        while True:
            found = self.slots.next()
            assert found == self.model.next()
            if found is None:
                break

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """One that waits is withdrawn."""
        run = data.draw(st.sampled_from(sorted(self.model.waiting)))
        del self.model.waiting[run]
        self.slots.withdraw(run)

    @precondition(lambda self: self.model.held or self.model.waiting)
    @rule()
    def restart(self) -> None:
        """All of it is built anew, as at the opening of a journal."""
        self.slots = Slots(AT_ONCE)
        for run, slots in self.model.held.items():
            self.slots.hold(run, slots)
        for run, (priority, slots) in self.model.waiting.items():
            self.slots.enqueue(run, priority, slots)

    @rule()
    def sweep(self) -> None:
        """The queues are made anew without those who no longer wait."""
        self.slots._sweep()

    @invariant()
    def nobody_who_fits_waits(self) -> None:
        """Whoever waits lacks at least one slot."""
        assert not any(self.model.fits(slots) for _, slots in self.model.waiting.values())


TestSlotted = Slotted.TestCase
TestSlotted.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_queues_forget_those_who_no_longer_wait() -> None:
    """However many keys come and go, what is kept is in proportion to those who wait."""
    slots = Slots({"all": 1, "key": 1})
    slots.hold(0, (Slot("all", None),))
    for run in range(1, 10_000):
        slots.enqueue(run, 3, (Slot("all", None), Slot("key", f"{run}")))
        slots.withdraw(run)
    assert len(slots._queues) < 2_000
    slots.release(0)
    assert slots.next() is None


class CountedHeap:
    """heapq, with a count of what was done."""

    def __init__(self) -> None:
        self.count = 0

    def __getattr__(self, name: str) -> Callable[..., object]:
        self.count += 1
        return cast("Callable[..., object]", getattr(heapq, name))


@pytest.mark.parametrize(
    "narrow",
    [
        lambda _: (),
        lambda run: (Slot("key", f"{run % 7}"),),
        lambda run: (Slot("tenant", f"{run % 7}"), Slot("key", f"{run}")),
    ],
    ids=["all alike", "hidden by their key", "hidden by their tenant"],
)
def test_a_turn_does_not_go_through_the_line(
    narrow: Callable[[int], tuple[Slot, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait, and however many of them are hidden, a turn costs a few operations on heaps."""
    everywhere = Slot("all", None)
    slots = Slots({"all": 5, "tenant": 2, "key": 1})
    running = [-run for run in range(5)]
    for run in running:
        slots.hold(run, (everywhere,))
    for run in range(1, 20_001):
        slots.enqueue(run, 3, (everywhere, *narrow(run)))
    counted = CountedHeap()
    monkeypatch.setattr("orchestrator.durable.slots.heapq", counted)
    served = 0
    while served < 1_000:
        slots.release(running.pop(0))
        while (run_that_fits := slots.next()) is not None:
            running.append(run_that_fits)
            served += 1
    assert counted.count < 20 * served


def test_a_claim_is_read_back_as_it_was_written() -> None:
    """A row keeps what its run takes and what it inherits; a run without limits keeps nothing."""
    claim = Claim((Slot("a", None),), (Slot("b", "key"),))
    assert Claim.of(claim.data) == claim
    assert Claim().data == b""
    assert Claim.of(b"") == Claim()


def test_a_child_does_not_take_what_its_ancestors_have() -> None:
    """Its own slots are those that no ancestor holds; the others it hands on to its own children."""
    everywhere, bob, ann = Slot("all", None), Slot("customer", "bob"), Slot("customer", "ann")
    parent = Claim((everywhere, bob))
    child = parent.child((everywhere, ann))
    assert child == Claim((ann,), (everywhere, bob))
    assert child.child((bob, ann, everywhere)).takes == ()

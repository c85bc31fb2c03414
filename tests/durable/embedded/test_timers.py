"""Deadlines ring once, in order, and those called off cost nothing for long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.durable.embedded.timers import SWEPT_FROM, Alarms

if TYPE_CHECKING:
    from collections.abc import Callable


class OneWake:
    """A clock that the test moves; it keeps the wake-ups that were asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wakes: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        """What the test says it is."""
        return self.now

    def call_at(
        self,
        when: float,
        callback: Callable[[], None],
        *,
        background: bool = False,  # noqa: ARG002  # it keeps all alike
    ) -> OneWake.Wake:
        """Keep it until the test comes to that time."""
        self.wakes.append((when, callback))
        return self.Wake(self, (when, callback))

    def move_to(self, now: float) -> None:
        """Make it that time, and wake whom that concerns."""
        self.now = now
        while due := [wake for wake in self.wakes if wake[0] <= now]:
            self.wakes.remove(due[0])
            due[0][1]()

    class Wake:
        """A wake-up that can be called off."""

        def __init__(self, clock: OneWake, wake: tuple[float, Callable[[], None]]) -> None:
            self._clock = clock
            self._wake = wake

        def cancel(self) -> None:
            """Make it not happen."""
            if self._wake in self._clock.wakes:
                self._clock.wakes.remove(self._wake)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=40))
def test_alarms_ring_in_the_order_of_their_deadlines(given_alarms: list[tuple[float, bool]]) -> None:
    """Whatever was set and called off: the rest ring once, in order, ties as they were set."""
    clock = OneWake()
    alarms = Alarms(clock)
    rung: list[int] = []
    for number, (when, _) in enumerate(given_alarms):
        alarm = alarms.set(when, lambda number=number: rung.append(number))  # type: ignore[misc]  # a default binds it
        if given_alarms[number][1]:
            alarms.call_off(alarm)
    clock.move_to(100)
    kept = [(when, number) for number, (when, off) in enumerate(given_alarms) if not off]
    assert rung == [number for _, number in sorted(kept)]


def test_a_deadline_does_not_ring_early() -> None:
    """At 9.99 seconds an alarm for 10 is silent; there is one wake-up however many alarms there are."""
    clock = OneWake()
    alarms = Alarms(clock)
    rung: list[str] = []
    alarms.set(10, lambda: rung.append("ten"))
    alarms.set(20, lambda: rung.append("twenty"))
    assert len(clock.wakes) == 1
    clock.move_to(9.99)
    assert rung == []
    clock.move_to(10)
    assert rung == ["ten"]
    assert len(clock.wakes) == 1


def test_alarms_that_were_called_off_do_not_pile_up() -> None:
    """A timeout around every step must not leave an alarm for each until it would have been due."""
    alarms = Alarms(OneWake())
    for _ in range(10 * SWEPT_FROM):
        alarms.call_off(alarms.set(3_600, lambda: None))
    assert len(alarms._heap) <= SWEPT_FROM + 1


def test_a_later_alarm_set_while_one_rings_does_not_hide_the_next() -> None:
    """What rings may set alarms; the earliest of all that are left is the one to wake for."""
    clock = OneWake()
    alarms = Alarms(clock)
    rung: list[str] = []

    def first() -> None:
        rung.append("first")
        alarms.set(20.0, lambda: rung.append("last"))

    alarms.set(1.0, first)
    alarms.set(10.0, lambda: rung.append("next"))
    clock.move_to(1.0)
    clock.move_to(10.0)
    assert rung == ["first", "next"]
    clock.move_to(20.0)
    assert rung == ["first", "next", "last"]


def test_tidied_alarms_wake_for_one_that_rings() -> None:
    """An alarm that was called off leaves no wake-up behind, whether or not another one follows."""
    clock = OneWake()
    alarms = Alarms(clock)
    first, second = alarms.set(10.0, lambda: None), alarms.set(20.0, lambda: None)
    alarms.call_off(first)
    alarms.tidy()
    assert [when for when, _ in clock.wakes] == [20.0]
    alarms.call_off(second)
    alarms.tidy()
    assert clock.wakes == []
    rung: list[str] = []
    alarms.set(15.0, lambda: rung.append("later"))
    clock.move_to(15.0)
    assert rung == ["later"]

"""One life of a run: what it begins with, and what reaches its code."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from orchestrator.durable.temporal.admission import Admission
from orchestrator.durable.temporal.beginnings import Beginning, Letter
from orchestrator.durable.temporal.deliveries import Deliveries, Source
from orchestrator.durable.temporal.gates import ADMITTED
from orchestrator.durable.temporal.mailbox import Mailbox
from orchestrator.durable.temporal.pausing import PAUSE, RESUME, Pausing

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.durable.temporal.beginnings import CarriedPrefix


class Life:
    """One life of a run: ``continue_as`` ends it and begins the next. A long one has several histories."""

    def __init__(self, beginning: Beginning) -> None:
        self.beginning = beginning
        self.mailbox = Mailbox()
        self.deliveries = Deliveries()
        self.pausing = Pausing(is_paused=beginning.is_paused)
        self.admission = Admission(held=beginning.held, takes=beginning.takes)
        for letter in beginning.letters:
            self._deliver(letter)

    def signal(self, name: str, data: str, identity: str) -> None:
        """Take a signal, with data and identity as JSON texts."""
        if name == ADMITTED:
            self.admission.admit()
        elif name in {PAUSE, RESUME}:
            self._turn(self.pausing.pause if name == PAUSE else self.pausing.resume)
        else:
            self._deliver(Letter(name=name, identity=identity, data=data))

    def next(self) -> Beginning:
        """What the next life begins with."""
        return Beginning(
            life=self.beginning.life + 1,
            letters=self.mailbox.kept,
            is_paused=self.pausing.is_paused,
            held=self.admission.held,
            takes=self.admission.takes,
        )

    def continued(self, prefix: CarriedPrefix) -> Beginning:
        """What the next history of this life begins with: ``prefix``, and signals that are not in it."""
        self.mailbox.start_anew()
        self.deliveries.hand_over()
        self.pausing.forget_held()
        return Beginning(
            life=self.beginning.life,
            letters=self.mailbox.kept,
            prefix=prefix,
            is_paused=self.pausing.is_paused,
            held=self.admission.held,
            takes=self.admission.takes,
            children=self.beginning.children,
            goes_on=True,
        )

    def _turn(self, turn: Callable[[], None]) -> None:
        """Pause or resume, in its turn; at once while nothing is delivered anyway."""
        if self.admission.is_open and not self.deliveries.is_frozen:
            self.deliveries.add(Source.SIGNAL, turn)
        else:
            turn()

    def _deliver(self, letter: Letter) -> None:
        self.deliveries.add(Source.SIGNAL, partial(self.mailbox.put, letter))

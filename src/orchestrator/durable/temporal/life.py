"""One life of a run: what it begins with, and what reaches its code."""

from __future__ import annotations

from functools import partial

from orchestrator.durable.temporal.beginnings import Beginning, Letter
from orchestrator.durable.temporal.deliveries import Deliveries, Source
from orchestrator.durable.temporal.mailbox import Mailbox
from orchestrator.durable.temporal.pausing import PAUSE, RESUME, Pausing


class Life:
    """One history of a run. ``continue_as`` ends it and begins the next."""

    def __init__(self, beginning: Beginning) -> None:
        self.beginning = beginning
        self.mailbox = Mailbox()
        self.deliveries = Deliveries()
        self.pausing = Pausing(is_paused=beginning.is_paused)
        for letter in beginning.letters:
            self._deliver(letter)

    def signal(self, name: str, data: str, identity: str) -> None:
        """Take a signal, with data and identity as JSON texts."""
        if name == PAUSE:
            self.deliveries.add(Source.SIGNAL, self.pausing.pause)
        elif name == RESUME:
            self.deliveries.add(Source.SIGNAL, self.pausing.resume)
        else:
            self._deliver(Letter(name=name, identity=identity, data=data))

    def next(self) -> Beginning:
        """What the next life begins with."""
        return Beginning(
            life=self.beginning.life + 1, letters=self.mailbox.kept, is_paused=self.pausing.is_paused
        )

    def _deliver(self, letter: Letter) -> None:
        self.deliveries.add(Source.SIGNAL, partial(self.mailbox.put, letter))

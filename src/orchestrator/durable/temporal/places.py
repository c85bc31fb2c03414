"""The places that a run on Temporal needs under the limits of its workflow, and the gate that gives them.

A gate is a workflow that counts. Limits that some workflow has together are counted by one gate, so that a
run can have all its places at once; a limit with keys that is never had with another has a gate for each key.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from orchestrator.durable.limits import Slot
from orchestrator.durable.names import RESERVED

if TYPE_CHECKING:
    from collections.abc import Collection

    from orchestrator.durable.registry import Registry
    from orchestrator.durable.workflows import Workflow

GATE: Final = f"{RESERVED}gate"
# The memo of a run that waits for its places, or has not heard yet that it has them: its `Claim`.
PENDING: Final = "pending"


class Place(BaseModel):
    """A place under a limit that has so many; ``key`` is None for a limit without keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: str
    key: str | None
    at_once: int

    @property
    def slot(self) -> Slot:
        """The same as the queues of both engines know it."""
        return Slot(self.limit, self.key)


class Claim(BaseModel):
    """The places that a run takes, and the id of the gate that gives them; none where it takes none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str = ""
    takes: tuple[Place, ...] = ()

    @classmethod
    def of(
        cls,
        registry: Registry,
        task_queue: str,
        workflow: Workflow[Any, Any],
        data: bytes,
        held: Collection[Slot] = (),
    ) -> Claim:
        """What a run on recorded input takes beside what its ancestors hold.

        Raises:
            InvalidInputError: a limit finds no key in the input.
        """
        takes = tuple(
            Place(limit=slot.limit, key=slot.key, at_once=registry.limits[slot.limit])
            for slot in workflow.slots(data)
            if slot not in held
        )
        return cls(gate=_gate_of(registry, task_queue, takes), takes=takes) if takes else cls()

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What it takes, as the queues of both engines know it."""
        return tuple(place.slot for place in self.takes)


def _gate_of(registry: Registry, task_queue: str, takes: tuple[Place, ...]) -> str:
    together = sorted(_counted_with(registry, takes[0].limit))
    place = takes[0]
    if len(together) > 1 or place.key is None:
        return f"{GATE}:{task_queue}:{together[0]}"
    # A key may be long, and is nothing for those who see ids.
    return f"{GATE}:{task_queue}:{place.limit}:{hashlib.sha256(place.key.encode()).hexdigest()[:32]}"


def _counted_with(registry: Registry, limit: str) -> set[str]:
    """The names of all limits that are had together with this one, or with one of those."""
    found, rest = {limit}, [{limit.name for limit in workflow.limits} for workflow in registry.workflows]
    while touching := [names for names in rest if not names.isdisjoint(found)]:
        found.update(*touching)
        rest = [names for names in rest if names.isdisjoint(found)]
    return found

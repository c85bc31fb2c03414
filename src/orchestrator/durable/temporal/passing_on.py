"""Steps that this worker's code does not know. Another worker's may, while one version takes another's place.

Such a step is handed back to the task queue, after ever longer waits, and was not tried: how often that was
done travels with the step in its heartbeats, which the server hands to whoever has it next.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from temporalio import activity

from orchestrator.durable.errors import Failure
from orchestrator.durable.outcomes import Verdict

if TYPE_CHECKING:
    from orchestrator.durable.registry import NotRegisteredError

# For so long a step is offered to other workers before it fails; a deployment takes minutes.
OFFERED_FOR_S: Final = 900.0
SHORTEST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PassedOn:
    """How often a step was handed back untried, and since when nobody but such workers has had it."""

    times: int = 0
    since: float = 0.0

    @classmethod
    def before(cls) -> Self:
        """What the running activity's heartbeats have told so far."""
        details = activity.info().heartbeat_details
        return cls(*details) if details else cls()

    @property
    def details(self) -> tuple[int, float]:
        """As it travels."""
        return self.times, self.since

    def taken(self) -> PassedOn:
        """The same when somebody has the step who knows it."""
        return replace(self, since=0.0)

    def once_more(self, now: float) -> PassedOn:
        """The same when it is handed back again."""
        return PassedOn(self.times + 1, self.since or now)


def passed_on(error: NotRegisteredError) -> Verdict:
    """Hand the running activity back, or fail it when it was offered for long enough."""
    now = time.time()
    told = PassedOn.before().once_more(now)
    offered_for_s = now - told.since
    if offered_for_s >= OFFERED_FOR_S:
        return Verdict(Failure.of(error))
    if not offered_for_s:
        log.warning("%s; it is offered to other workers for %g seconds", error, OFFERED_FOR_S)
    activity.heartbeat(*told.details)
    # Each wait is as long as all before it together.
    return Verdict(Failure.of(error), min(max(offered_for_s, SHORTEST_WAIT_S), LONGEST_WAIT_S))

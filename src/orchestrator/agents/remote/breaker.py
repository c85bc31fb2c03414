"""A circuit breaker: an agent that keeps failing is left alone for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from orchestrator.agents.remote.contract import (
    AgentAwayError,
    AgentError,
    AgentErrorCode,
    AgentLeftAloneError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.core.clock import Clock
    from orchestrator.core.telemetry import Metrics

# More than the four attempts of one call, so that no single call opens it.
OPENS_AFTER_FAILURES = 5
OPEN_FOR_S = 30.0

log = structlog.get_logger()


class CircuitBreaker:
    """Closed: attempts are made. Open: none for ``OPEN_FOR_S``. Half-open: one at a time, as a probe.

    Failures are attempts that ended with ``AgentAwayError``; any answer, were it a refusal, shows that the
    agent is there. ``OPENS_AFTER_FAILURES`` in a row open it; a probe closes it or opens it again.
    """

    def __init__(self, agent: str, clock: Clock, metrics: Metrics) -> None:
        self._agent = agent
        self._clock = clock
        self._metrics = metrics
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False
        # What an attempt tells counts only in the state in which it began.
        self._era = 0

    @property
    def is_closed(self) -> bool:
        """Whether attempts are made as usual."""
        return self._open_until is None

    def check(self) -> None:
        """Return where an attempt may be made.

        Raises:
            AgentLeftAloneError: it is open, or a probe is under way.
        """
        if self._open_until is None:
            return
        wait_s = self._open_until - self._clock.time()
        if wait_s > 0 or self._probing:
            raise AgentLeftAloneError(
                AgentErrorCode.AGENT_ERROR,
                f"The agent {self._agent} failed {OPENS_AFTER_FAILURES} times in a row and is left alone; "
                f"it is tried again after {OPEN_FOR_S:g} s.",
                retry_after=max(0.0, wait_s),
            )

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Make one attempt inside, and learn from how it ends.

        Raises:
            AgentLeftAloneError: no attempt may be made now.
        """
        self.check()
        if not self.is_closed:
            self._probing = True
        era = self._era
        try:
            yield
        except AgentAwayError:
            self._learn(era, failed=True)
            raise
        except AgentError:
            self._learn(era, failed=False)
            raise
        except BaseException:
            self._give_up(era)
            raise
        else:
            self._learn(era, failed=False)

    def _learn(self, era: int, *, failed: bool) -> None:
        if era != self._era:
            return
        self._failures = self._failures + 1 if failed else 0
        if failed and (self._probing or self._failures >= OPENS_AFTER_FAILURES):
            self._open()
        elif not failed and not self.is_closed:
            self._close()

    def _give_up(self, era: int) -> None:
        """An attempt was cancelled: it told nothing, and another may probe."""
        if era == self._era:
            self._probing = False

    def _open(self) -> None:
        self._turn(self._clock.time() + OPEN_FOR_S)
        log.warning("agent left alone", agent=self._agent, seconds=OPEN_FOR_S)

    def _close(self) -> None:
        self._turn(None)
        log.info("agent answers again", agent=self._agent)

    def _turn(self, open_until: float | None) -> None:
        self._open_until = open_until
        self._probing = False
        self._failures = 0
        self._era += 1
        self._metrics.agent_circuit(self._agent, is_open=not self.is_closed)

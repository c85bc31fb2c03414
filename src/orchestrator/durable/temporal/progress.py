"""What a running attempt says to those who watch: its progress, and that it is tried again.

It goes to the run's event log beside the step, several entries at once, and never holds the step up. Only the
attempt's end waits until all is there, for a time.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from datetime import UTC, datetime
from itertools import count, islice
from typing import TYPE_CHECKING, Final

from pydantic_core import from_json
from pydantic_core import to_json as plain_json

from orchestrator.core.errors import NotFoundError, PayloadTooLargeError, UnavailableError
from orchestrator.core.patience import growing_pauses
from orchestrator.durable.payloads import PayloadError, to_json
from orchestrator.durable.runs import Event, EventType
from orchestrator.durable.temporal.event_log import Told, key_of
from orchestrator.journal.errors import UnreadableError

if TYPE_CHECKING:
    from orchestrator.durable.attempt import StepInfo
    from orchestrator.durable.errors import Failure
    from orchestrator.durable.payloads import PayloadRules
    from orchestrator.durable.temporal.watching import Watching

# What one attempt may say; the embedded engine has the same limit.
MOST_ROWS: Final = 20_000
# What waits in memory while streams are away.
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
# So many entries are appended together.
BATCH: Final = 500

log = logging.getLogger(__name__)


class Progress:
    """Takes what one attempt says. ``stored`` comes last.

    Args:
        watching: the event logs.
        info: the attempt.
        history: the history of the run that it belongs to.
        rules: how large a value may be, and what hides secrets.
    """

    def __init__(self, watching: Watching, info: StepInfo, history: str, rules: PayloadRules) -> None:
        self._watching = watching
        self._info = info
        self._history = history
        self._rules = rules
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._left = MOST_ROWS
        self._numbers = count(1)
        self._waiting: deque[tuple[Told, int]] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._more = asyncio.Event()
        self._is_over = False
        self._carrying: asyncio.Task[None] | None = None

    def report(self, data: object) -> None:
        """Show partial output, from whatever thread it comes. What is no JSON, or too much, is logged."""
        self._left -= 1
        if self._left < 0:
            if self._left == -1:
                log.warning("step %s reports too much; the rest is not shown", self._info.step)
            return
        try:
            text = self._rules.redactor.json(to_json(data, "progress", self._rules.most_bytes))
        except (PayloadError, PayloadTooLargeError) as error:
            log.warning("progress of step %s is not shown: %s", self._info.step, error)
            return
        if threading.get_ident() == self._thread:
            self._add(EventType.STEP_PROGRESS, text)
        else:
            self._loop.call_soon_threadsafe(self._add, EventType.STEP_PROGRESS, text)

    def retrying(self, failure: Failure, retry_at: float) -> None:
        """Tell that this attempt failed, and that the next is due at ``retry_at``, seconds since 1970."""
        data = {"failure": failure.model_dump(mode="json"), "retry_at": retry_at}
        self._add(EventType.STEP_RETRYING, plain_json(data))

    async def stored(self, within_s: float) -> None:
        """Wait until all is in the log. What is not there in time is lost, which is logged."""
        self._is_over = True
        if self._carrying is None:
            return
        self._more.set()
        try:
            await asyncio.wait([self._carrying], timeout=within_s)
        finally:
            if not self._carrying.done():
                self._carrying.cancel()
                await asyncio.wait([self._carrying])
        self._watching.tell_of_loss(self._info, self._lost + len(self._waiting))

    def _add(self, kind: EventType, text: bytes) -> None:
        if self._is_over:
            return  # a thread that goes on when its time is over
        if self._waiting_bytes + len(text) > MOST_WAITING_BYTES:
            self._lost += 1
            return
        info = self._info
        event = Event(0, kind, datetime.now(UTC), info.step, info.operation, info.attempt, from_json(text))
        key = key_of(self._history, info.operation, f"said-{info.attempt}.{next(self._numbers)}")
        self._waiting.append((Told(key, event), len(text)))
        self._waiting_bytes += len(text)
        self._more.set()
        if self._carrying is None:
            self._carrying = asyncio.create_task(self._carry_always())

    async def _carry_always(self) -> None:
        pauses = growing_pauses()
        while True:
            try:
                await self._carry()
            except UnavailableError:
                await asyncio.sleep(next(pauses))
            except NotFoundError:
                return  # the run was deleted
            except UnreadableError as error:
                log.warning("what step %s says is not shown: %s", self._info.step, error)
                return
            else:
                return

    async def _carry(self) -> None:
        """Append what is said, after the step's start, until no more will be."""
        projection = await self._watching.of_step(self._info.run_id, self._history)
        await projection.until_begun(self._history, self._info.operation)
        while True:
            while self._waiting:
                batch = list(islice(self._waiting, BATCH))
                await projection.log.append([told for told, _ in batch])
                for _, size in batch:
                    self._waiting.popleft()
                    self._waiting_bytes -= size
            if self._is_over:
                return
            self._more.clear()
            await self._more.wait()

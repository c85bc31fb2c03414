"""Runs whose history has grown long: they go on in a new one, which begins with all that was recorded.

A server ends a run whose history has 51,200 events. Long before that it says that a history is long. Then no
step or child begins for a moment; when those under way have ended, the history is read, and the run goes on
in another one with that as its prefix. It is the same life of the run: its code sees nothing of it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from temporalio import workflow as temporal
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

from orchestrator.core.errors import TerminalError
from orchestrator.durable.names import RESERVED
from orchestrator.durable.temporal.beginnings import CarriedPrefix, arguments
from orchestrator.durable.temporal.failures import failure_of
from orchestrator.durable.temporal.reserved import ERRAND_RETRY, inner_queue
from orchestrator.durable.temporal.unreadable import data_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from orchestrator.durable.temporal.life import Life

# The activity that reads what the run's history has recorded.
CARRY_OVER: Final = f"{RESERVED}carry-over"
CARRY_OVER_TIMEOUT: Final = timedelta(minutes=2)
# So long nothing new begins while steps and children under way may end; if one lasts longer, the run goes on.
HOLD_S: Final = 10.0
# After so many more events it is tried again.
EVENTS_BETWEEN_TRIES: Final = 2_000
# So many it takes at least, once the code is told what the history begins with.
FEWEST_EVENTS: Final = 60
# A server ends a run at 51,200 events or 50 MiB, without its code or a word of what to do.
MOST_EVENTS: Final = 48_000
MOST_BYTES: Final = 47 * 1024 * 1024


class HistoryTooLongError(TerminalError):
    """A run's history has come to the length that its cluster allows, and could not go on in a new one."""

    default_code = "history_too_long"


class GoingOn:
    """Lets a run go on in a new history when its present one is long."""

    def __init__(self, life: Life) -> None:
        self._life = life
        prefix = life.beginning.prefix
        self._began_at = temporal.time() if prefix is None else prefix.began_at
        self._next_try = 0
        self._obstacle = ""

    async def outcome(self, code: Coroutine[Any, Any, bytes], data: bytes) -> bytes:
        """What the run's code gives; ``data`` is its recorded input, with which a new history begins too.

        Raises:
            HistoryTooLongError: the history is as long as it may be, and steps or children are always under
                way, or what is recorded is too large to be carried over.
        """
        running = asyncio.create_task(code)
        going_on = asyncio.create_task(self._prefix())
        try:
            await self._first_of(running, going_on)
        finally:
            going_on.cancel()
        if not running.done():
            prefix = going_on.result()
            temporal.continue_as_new(args=arguments(data, self._life.continued(prefix)))
        return running.result()

    async def _first_of(self, running: asyncio.Task[bytes], going_on: asyncio.Task[CarriedPrefix]) -> None:
        while True:
            try:
                await asyncio.wait([running, going_on], return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                if _is_cancelled():
                    # What is recorded came before the cancel, so the code is told that first.
                    await temporal.wait_condition(lambda: self._life.deliveries.is_live or running.done())
                running.cancel()
            else:
                return

    async def _prefix(self) -> CarriedPrefix:
        """What a new history is to begin with, as soon as there is to be one."""
        await temporal.wait_condition(lambda: self._life.deliveries.is_live)
        self._next_try = temporal.info().get_current_history_length() + FEWEST_EVENTS
        while True:
            await temporal.wait_condition(self._is_due)
            prefix = await self._carried_over()
            if prefix is not None:
                return prefix
            info = temporal.info()
            length = info.get_current_history_length()
            if length >= MOST_EVENTS or info.get_current_history_size() >= MOST_BYTES:
                raise self._too_long(length)
            self._next_try = min(length + EVENTS_BETWEEN_TRIES, MOST_EVENTS)

    def _is_due(self) -> bool:
        info = temporal.info()
        length = info.get_current_history_length()
        is_long = info.is_continue_as_new_suggested() or length >= MOST_EVENTS
        return is_long and length >= self._next_try and not _is_cancelled()

    async def _carried_over(self) -> CarriedPrefix | None:
        """All that the history has recorded; None, and the run goes on as before, if that cannot be now."""
        self._life.pausing.hold()
        prefix = await self._recorded() if await self._is_still() else None
        if prefix is None:
            self._life.deliveries.thaw()
            self._life.pausing.release()
        return prefix

    async def _is_still(self) -> bool:
        """Whether all that is under way ends within a moment, and all of it is told to the code."""
        patience = asyncio.create_task(temporal.sleep(HOLD_S))
        await temporal.wait_condition(lambda: self._rests() or patience.done() or _is_cancelled())
        patience.cancel()
        return self._rests() and not _is_cancelled()

    def _rests(self) -> bool:
        return not self._life.pausing.has_open and self._life.deliveries.is_empty

    async def _recorded(self) -> CarriedPrefix | None:
        """What was delivered so far. Nothing more is meanwhile, so that it is the whole of it."""
        self._life.deliveries.freeze()
        reading: asyncio.Task[RawValue] = temporal.start_activity(
            CARRY_OVER,
            self._began_at,
            task_queue=inner_queue(temporal.info().task_queue),
            result_type=RawValue,
            start_to_close_timeout=CARRY_OVER_TIMEOUT,
            retry_policy=ERRAND_RETRY,
        )
        await temporal.wait_condition(lambda: reading.done() or _is_cancelled())
        if _is_cancelled():
            reading.cancel()
            return None
        try:
            return CarriedPrefix.model_validate_json(data_of(reading.result()))
        except FailureError as error:
            self._obstacle = failure_of(error).message
            return None

    def _too_long(self, length: int) -> HistoryTooLongError:
        obstacle = self._obstacle or (
            f"at no moment did all its steps and child runs that were under way end within {HOLD_S:g} seconds"
        )
        return HistoryTooLongError(
            f"its history has {length:,} events, and Temporal ends a run with 51,200. It could not go on in "
            f"a new history, since {obstacle}. Let the workflow begin one itself, with ctx.continue_as, when "
            "nothing is under way."
        )


def _is_cancelled() -> bool:
    return temporal.cancellation_reason() is not None

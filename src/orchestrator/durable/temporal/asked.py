"""What a run's code asked for and the server does: steps and child runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from temporalio.common import RawValue  # noqa: TC002  # a base's parameter

from orchestrator.durable.temporal.unreadable import data_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Work(Protocol):
    """What the server does for one operation."""

    def begin(self) -> asyncio.Task[RawValue]:
        """Have the server begin; the task ends as the operation does."""
        ...

    def stop(self) -> None:
        """Ask for its end, once it began."""
        ...

    def error(self, error: BaseException) -> BaseException:
        """What the run's code sees of an error of that task."""
        ...


class Asked:
    """An operation that was asked for. It begins when ``begin`` is called, later where the run is paused."""

    def __init__(self, work: Work, deliver: Callable[[Callable[[], object]], object]) -> None:
        loop = asyncio.get_running_loop()
        self.outcome: asyncio.Future[bytes] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._work = work
        self._deliver = deliver
        self._has_begun = False

    def begin(self) -> bool:
        """Begin, unless nobody wants it any more; whether it did."""
        if self.ended.done():
            return False
        self._has_begun = True
        self._work.begin().add_done_callback(lambda task: self._deliver(lambda: self._settle(task)))
        return True

    def cancel(self) -> asyncio.Future[None]:
        """Ask for its end; the future is done once it has ended, however it did."""
        if self._has_begun:
            self._work.stop()
        elif not self.ended.done():
            self.ended.set_result(None)
        return self.ended

    def give_up(self) -> None:
        """End it without a beginning; who awaits it is cancelled."""
        self.outcome.cancel()
        if not self.ended.done():
            self.ended.set_result(None)

    def _settle(self, task: asyncio.Task[RawValue]) -> None:
        # Errors are read at once, here and there: nobody may await them, and that is no accident to report.
        error = None if task.cancelled() else task.exception()
        self.ended.set_result(None)
        if self.outcome.done():
            return
        if task.cancelled():
            self.outcome.cancel()
        elif error is None:
            self.outcome.set_result(data_of(task.result()))
        else:
            self.outcome.set_exception(self._work.error(error))
            self.outcome.exception()

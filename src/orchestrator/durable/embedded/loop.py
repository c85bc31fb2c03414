"""The deterministic event loop on which one run's code turns.

A run's tasks, futures and timers belong to this loop alone, so that ``asyncio.gather``, ``wait``, ``timeout``
and ``TaskGroup`` mean the same live and replayed, and it is known when the run has nothing more to do until
something is delivered. The process's own loop drives it by calling ``turn``, never from inside a task.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from asyncio import events
from collections import deque
from typing import TYPE_CHECKING, Any, Never, Protocol, TypeVarTuple, Unpack

from orchestrator.durable.errors import DeterminismError

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Callable, Coroutine

Ts = TypeVarTuple("Ts")

logger = logging.getLogger(__name__)

# Workflow code shares the process with everything else; beyond this it does not wait, it spins.
LONGEST_TURN_S = 2.0
# How many callbacks run between two looks at the clock.
LOOK_EVERY = 1_000


class Timekeeper(Protocol):
    """What the loop asks of its run."""

    def now(self) -> float:
        """The run's own time, in seconds since 1970."""
        ...

    def arm(self, timer: asyncio.TimerHandle) -> None:
        """Have ``timer`` run when the run's time has reached it."""
        ...

    def disarm(self, timer: asyncio.TimerHandle) -> None:
        """Forget a timer that was armed."""
        ...


class RunLoop(asyncio.AbstractEventLoop):
    """An event loop without a clock and without I/O: time and results are delivered to it."""

    def __init__(self, run: Timekeeper) -> None:
        self._run = run
        self._ready: deque[asyncio.Handle] = deque()
        self.turning = False
        self.tasks: set[asyncio.Task[Any]] = set()

    def turn(self) -> None:
        """Run what is ready until nothing is.

        Raises:
            DeterminismError: the code did not come to wait for anything within two seconds.
        """
        outer = events._get_running_loop()  # noqa: SLF001  # asyncio offers authors of loops no other way
        events._set_running_loop(self)  # noqa: SLF001
        self.turning = True
        try:
            ready = self._ready
            count = 0
            started = time.monotonic()
            while ready:
                handle = ready.popleft()
                if not handle.cancelled():
                    try:
                        handle._run()  # noqa: SLF001
                    except SystemExit:  # its task has failed with it; it must not end the process
                        continue
                count += 1
                if count % LOOK_EVERY == 0 and time.monotonic() - started > LONGEST_TURN_S:
                    ready.clear()
                    raise DeterminismError(
                        f"workflow code ran for {LONGEST_TURN_S:g} seconds without waiting for an operation"
                    )
        finally:
            self.turning = False
            events._set_running_loop(outer)  # noqa: SLF001

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Run ``callback`` in this turn."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run ``callback`` after ``delay`` seconds of the run's time, durably."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run ``callback`` at a moment of the run's time, durably."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if when <= self.time():
            self._ready.append(timer)
        else:
            self._run.arm(timer)
        return timer

    def run_soon(self, handle: asyncio.Handle) -> None:
        """Run a handle that was made earlier, in the next turn."""
        self._ready.append(handle)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._run.disarm(handle)

    def time(self) -> float:
        """The run's time in seconds since 1970."""
        return self._run.now()

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this run."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # the base takes more keywords in newer Pythons
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        """A task of this run."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def drop(self) -> None:
        """Unwind the run's code without letting it do anything more."""
        for task in tuple(self.tasks):
            task.cancel()
        with contextlib.suppress(DeterminismError):
            self.turn()
        for task in self.tasks:
            # What refuses to unwind is left to the garbage collector, quietly.
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001

    def get_debug(self) -> bool:
        """Never: asyncio's debug mode reads the machine's clock."""
        return False

    def is_running(self) -> bool:
        """It turns whenever its code can ask."""
        return True

    def is_closed(self) -> bool:
        """It is never closed, only dropped."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what no code of the run looked at."""
        logger.debug("unnoticed in a workflow: %s", context.get("message"), exc_info=context.get("exception"))

    def run_in_executor(self, executor: object, func: object, *_: object) -> Never:  # noqa: ARG002
        """Refuse threads."""
        raise _only_in_steps("a thread")

    def call_soon_threadsafe(self, *_: object, **__: object) -> Never:
        """Refuse calls from other threads."""
        raise _only_in_steps("a thread")

    async def getaddrinfo(self, *_: object, **__: object) -> Never:
        """Refuse the network."""
        raise _only_in_steps("the network")

    async def create_connection(self, *_: object, **__: object) -> Never:
        """Refuse the network."""
        raise _only_in_steps("the network")

    async def subprocess_exec(self, *_: object, **__: object) -> Never:
        """Refuse processes."""
        raise _only_in_steps("a process")

    async def subprocess_shell(self, *_: object, **__: object) -> Never:
        """Refuse processes."""
        raise _only_in_steps("a process")

    def add_reader(self, fd: object, callback: object, *_: object) -> Never:  # noqa: ARG002
        """Refuse files and sockets."""
        raise _only_in_steps("a file or socket")

    def add_writer(self, fd: object, callback: object, *_: object) -> Never:  # noqa: ARG002
        """Refuse files and sockets."""
        raise _only_in_steps("a file or socket")


def _only_in_steps(what: str) -> DeterminismError:
    return DeterminismError(f"a workflow cannot use {what}: it would not replay. Do it in a step.")

"""Threads for plain ``def`` steps."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class StepThreads:
    """So many places, each for one thread that holds neither other steps nor the end of the process.

    Python cannot stop a thread, so the place of one whose step was given up is taken until it ends by itself.
    ``on_free`` is called, on whatever thread, whenever a place becomes free.
    """

    def __init__(self, most: int, on_free: Callable[[], None]) -> None:
        self._free = most
        self._on_free = on_free
        self._lock = threading.Lock()

    def take(self) -> ThreadPlace | None:
        """A place for one call, or None while all are taken."""
        with self._lock:
            if not self._free:
                return None
            self._free -= 1
        return ThreadPlace(self._give_back)

    @property
    def has_room(self) -> bool:
        """Whether a place is free now."""
        return self._free > 0

    def _give_back(self) -> None:
        with self._lock:
            self._free += 1
        self._on_free()


class ThreadPlace(Executor):
    """Makes one call on a daemon thread, and gives its place back when that ends."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._used = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn`` on a thread of its own."""
        self._used = True
        future: Future[T] = Future()
        work = (future, partial(fn, *args, **kwargs))
        threading.Thread(target=self._call, args=work, name="orchestrator-step", daemon=True).start()
        return future

    def let_go(self) -> None:
        """Give the place back if it was never used."""
        if not self._used:
            self._used = True
            self._give_back()

    def _call(self, future: Future[T], call: Callable[[], T]) -> None:
        try:
            _settle(future, call)
        finally:
            self._give_back()


class DaemonThreads(Executor):
    """At most so many threads, for which further calls wait; none of them holds the end of the process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._begun = 0
        self._idle = threading.Semaphore(0)
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn`` on one of the threads."""
        future: Future[T] = Future()
        self._calls.put(partial(_settle, future, partial(fn, *args, **kwargs)))
        if not self._idle.acquire(blocking=False) and self._begun < self._most:
            self._begun += 1
            threading.Thread(target=self._work, name="orchestrator-step", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  # the base's
        """Have the threads end as soon as they are idle; this waits for none."""
        for _ in range(self._begun):
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            self._idle.release()


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001  # raised where the result is asked for
        future.set_exception(error)

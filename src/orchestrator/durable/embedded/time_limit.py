"""Work that may never come back, such as running somebody's code, done elsewhere and given up in time."""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")

# Workflow code is held to 2 seconds between two waits where it can be seen; this is for where it cannot.
LIMIT_S: Final = 5.0
MOST_HUNG: Final = 3


class _GivenUp(BaseException):
    """Ends a thread whose result nobody waits for any more."""


class _Worker(Generic[T, R]):
    """A thread that does one thing after the other, ahead of who takes the results."""

    def __init__(self, work: Callable[[T], R], items: Sequence[T]) -> None:
        self.results: SimpleQueue[R | Exception] = SimpleQueue()
        self._work = work
        self._items = items
        self._left = False
        self._thread = threading.Thread(target=self._run, name="rehearsal", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Have it stop; what it is at is interrupted at its next line of Python."""
        self._left = True
        if self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(_GivenUp)
            )

    def _run(self) -> None:
        with suppress(_GivenUp):
            for item in self._items:
                if self._left:
                    return
                try:
                    self.results.put(self._work(item))
                except Exception as error:  # noqa: BLE001  # raised where the result is taken
                    self.results.put(error)


class TimeLimit(Generic[T, R]):
    """Does ``work`` on one item after the other in a thread, and gives up on what takes too long.

    What hangs is stopped if it runs Python, and else left behind. After some of a ``kind`` have hung, the
    others of it are given up without being tried.
    """

    def __init__(self, work: Callable[[T], R], kind: Callable[[T], str], limit_s: float = LIMIT_S) -> None:
        self._work = work
        self._kind = kind
        self._limit_s = limit_s
        self._hung: Counter[str] = Counter()

    def each(self, items: Sequence[T]) -> Iterator[tuple[T, R | None]]:
        """Every item with what came of it, in order; with None where it was given up."""
        worker = _Worker(self._try, items)
        try:
            for number, item in enumerate(items, 1):
                try:
                    result = worker.results.get(timeout=self._limit_s)
                except Empty:
                    self._hung[self._kind(item)] += 1
                    worker.leave()
                    worker = _Worker(self._try, items[number:])
                    result = None
                if isinstance(result, Exception):
                    raise result
                yield item, result
        finally:
            worker.leave()

    def _try(self, item: T) -> R | None:
        return None if self._hung[self._kind(item)] >= MOST_HUNG else self._work(item)

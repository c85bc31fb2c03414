"""A call that is made again under its key gets the answer of the first: a plan is asked of a model once.

Kept in this process for the latest calls: enough for the retries of a client, which come within seconds.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from orchestrator.core.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

MOST_KEPT = 1_000


class KeyReusedError(TerminalError):
    """This idempotency key was used for another request; take a new one."""

    default_code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True)
class _Call(Generic[T]):
    asked: str
    task: asyncio.Task[T]


class Repeats(Generic[T]):
    """Calls by their keys, those under way included: whoever comes again meanwhile waits for the same one."""

    def __init__(self) -> None:
        self._calls: OrderedDict[tuple[str, str], _Call[T]] = OrderedDict()

    async def once(
        self, user: str, key: str | None, asked: str, make: Callable[[], Coroutine[None, None, T]]
    ) -> T:
        """The answer to ``asked`` (a digest), made at most once per user and key. Failures are not kept.

        A caller who goes away does not end the call: it is there when the caller comes again.

        Raises:
            KeyReusedError: the key was used for something else.
        """
        if not key:
            return await make()
        known = self._calls.get((user, key))
        if known is not None and known.asked != asked:
            raise KeyReusedError
        if known is None or _failed(known.task):
            known = self._begin((user, key), asked, make)
        return await asyncio.shield(known.task)

    def _begin(
        self, place: tuple[str, str], asked: str, make: Callable[[], Coroutine[None, None, T]]
    ) -> _Call[T]:
        call = _Call(asked, asyncio.create_task(make(), name="daily plan"))
        call.task.add_done_callback(_failed)  # a failure that nobody waits for any more is nobody's
        self._calls[place] = call
        self._calls.move_to_end(place)
        while len(self._calls) > MOST_KEPT:
            self._calls.popitem(last=False)
        return call


def _failed(task: asyncio.Task[T]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)

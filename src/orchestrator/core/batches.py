"""Doing at once what many ask for at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

Key = TypeVar("Key", bound="Hashable")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Batches(Generic[Key, Item, Outcome]):
    """Hands what is asked for under one key at the same time to ``do``, which gives an outcome for each.

    Batches of a key follow each other: what is asked for while one is under way is the next.
    """

    def __init__(self, do: Callable[[Key, Sequence[Item]], Awaitable[Sequence[Outcome]]]) -> None:
        self._do = do
        self._open: dict[Key, _Batch[Item, Outcome]] = {}
        self._under_way: dict[Key, asyncio.Task[Sequence[Outcome]]] = {}
        self._tasks: set[asyncio.Task[Sequence[Outcome]]] = set()

    async def ask(self, key: Key, item: Item) -> Outcome:
        """What comes of ``item``, or the error that its whole batch met. Who goes away stops nobody's."""
        batch = self._open.get(key) or self._begun(key)
        place = len(batch.items)
        batch.items.append(item)
        return (await asyncio.shield(batch.task))[place]

    async def close(self) -> None:
        """Wait for what is under way: nobody else may wait for it any more."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begun(self, key: Key) -> _Batch[Item, Outcome]:
        batch = self._open[key] = _Batch[Item, Outcome]()
        batch.task = asyncio.create_task(self._done(key, batch, self._under_way.get(key)))
        batch.task.add_done_callback(lambda task: self._ended(key, task))
        self._tasks.add(batch.task)
        return batch

    async def _done(
        self, key: Key, batch: _Batch[Item, Outcome], before: asyncio.Task[Sequence[Outcome]] | None
    ) -> Sequence[Outcome]:
        if before is not None:
            await asyncio.wait([before])
        self._under_way[key] = batch.task
        del self._open[key]
        return await self._do(key, batch.items)

    def _ended(self, key: Key, task: asyncio.Task[Sequence[Outcome]]) -> None:
        self._tasks.remove(task)
        if self._under_way.get(key) is task:
            del self._under_way[key]
        if not task.cancelled():
            task.exception()  # seen, though everybody who waited for it may have gone away


@dataclass(slots=True, eq=False)
class _Batch(Generic[Item, Outcome]):
    """What was asked for, and the task that does it."""

    items: list[Item] = field(default_factory=list)
    task: asyncio.Task[Sequence[Outcome]] = field(init=False)

"""A person's runs and schedules, by the owner that they were started for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import to_jsonable_python

from orchestrator.core.errors import ConflictError, NotFoundError, UnavailableError
from orchestrator.durable.errors import MismatchError, RunError
from orchestrator.durable.runs import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orchestrator.durable.engine import Engine
    from orchestrator.durable.runs import RunInfo

CLEANING_UP_S: Final = 10.0  # how long the code of a run gets before it is ended without it
ENDED_WITHIN_S: Final = 20.0
AT_ONCE: Final = 100
OPEN: Final = tuple(status for status in Status if not status.closed)


class Runs:
    """The runs and schedules of any person."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    async def all(self, user: str) -> AsyncIterator[dict[str, Any]]:
        """Each run, newest first: what is known of it, its steps, and of an ended one all it has told."""
        for info in await self._infos(user):
            with suppress(NotFoundError):
                yield await self._told(info)

    async def schedules(self, user: str) -> list[dict[str, Any]]:
        """Each schedule."""
        return [to_jsonable_python(info) for info in await self._engine().schedules() if info.owner == user]

    async def count_open(self, user: str) -> int:
        """How many runs have not ended, of the first hundred."""
        return len(await self._engine().list(owner=user, status=OPEN, limit=AT_ONCE))

    async def remove(self, user: str) -> int:
        """End the open ones and forget all of them; how many there were.

        Raises:
            UnavailableError: some have not ended in time. Call again.
        """
        removed = 0
        gone: set[str] = set()  # which a cluster may list for a while yet
        while left := [info for info in await self._infos(user) if info.id not in gone]:
            await self._end([info for info in left if not info.status.closed])
            before = len(gone)
            for info in left:
                with suppress(ConflictError):  # a child, until its parent has noted how it ended
                    removed += await self._forgotten(info.id)
                    gone.add(info.id)
            if len(gone) == before:
                raise UnavailableError(f"{len(left)} runs are still stopping. Do it again in a moment.")
        return removed

    async def remove_schedules(self, user: str) -> int:
        """Forget the schedules; how many there were."""
        found = [info.id for info in await self._engine().schedules() if info.owner == user]
        for schedule_id in found:
            with suppress(NotFoundError):
                await (await self._engine().get_schedule(schedule_id)).delete()
        return len(found)

    async def give(self, giver: str, taker: str) -> int:
        """Make the giver's ended runs the taker's; how many there were."""
        return await self._engine().give(giver, taker)

    async def _infos(self, user: str) -> list[RunInfo]:
        """All there are, newest first."""
        found: list[RunInfo] = []
        with suppress(NotFoundError):  # the last one of a page went meanwhile; whoever needs all asks again
            while page := await self._engine().list(
                owner=user, limit=AT_ONCE, before=found[-1].id if found else None
            ):
                found += page
        return found

    async def _told(self, info: RunInfo) -> dict[str, Any]:
        run = await self._engine().get(info.id)
        told = {"run": info, "steps": await run.steps()}
        if info.status.closed:
            told["events"] = [event async for event in run.events()]
        return dict(to_jsonable_python(told))

    async def _end(self, infos: list[RunInfo]) -> None:
        runs = []
        for info in infos:
            with suppress(NotFoundError):
                run = await self._engine().get(info.id)
                await run.cancel(force_after=CLEANING_UP_S)
                runs.append(run)
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDED_WITHIN_S):
                for run in runs:
                    with suppress(RunError, MismatchError, NotFoundError):
                        await run.result()

    async def _forgotten(self, run_id: str) -> bool:
        """Whether it was there, and is gone now.

        Raises:
            ConflictError: it is there still.
        """
        try:
            await self._engine().delete(run_id)
        except NotFoundError:
            return False
        return True

"""Where the engine port's contract is tested: one storage, on which engines open and close."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from orchestrator.durable.steps import step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from orchestrator.durable.engine import Engine, Run
    from orchestrator.durable.runs import Event
    from orchestrator.durable.workflows import Workflow

    OpenEngine = Callable[
        [Sequence[Workflow[Any, Any]], Sequence[object]], AbstractAsyncContextManager[Engine]
    ]

PATIENCE_S = 60.0
# Between one look at a list that lags and the next, in seconds; as long as our patience.
PAUSES_S: Final = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, *[3.0] * 19]


class Lab:
    """Opens engines, one after the other, that share all that is durable.

    Where their lists lag behind what happens, ``pauses_s`` says when to look again.
    """

    def __init__(self, open_engine: OpenEngine, pauses_s: Sequence[float] = ()) -> None:
        self._open_engine = open_engine
        self._pauses_s = pauses_s
        self._own = uuid.uuid4()

    def id(self, name: str) -> str:
        """A run id that is this test's own, for a server that many tests share."""
        return f"{name}-{self._own}"

    def open(
        self, workflows: Sequence[Workflow[Any, Any]], steps: Sequence[object] = ()
    ) -> AbstractAsyncContextManager[Engine]:
        """An engine with these workflows and steps."""
        return self._open_engine(workflows, steps)

    async def listed(self, engine: Engine, wanted: Collection[str], **by: Any) -> list[str]:  # noqa: ANN401  # as list()
        """The ids that ``engine.list(**by)`` gives; where a list lags, once it is as ``wanted``.

        A list is wanted in its order, a set in any.
        """

        async def found() -> list[str]:
            return [info.id for info in await engine.list(**by)]

        return await self._once(found, wanted)

    async def scheduled(self, engine: Engine, wanted: Sequence[str]) -> list[str]:
        """The ids that ``engine.schedules()`` gives; where that lags, once it is as ``wanted``."""

        async def found() -> list[str]:
            return [info.id for info in await engine.schedules()]

        return await self._once(found, wanted)

    async def _once(self, find: Callable[[], Awaitable[list[str]]], wanted: Collection[str]) -> list[str]:
        pauses = iter(self._pauses_s)
        while True:
            found = await find()
            is_as_wanted = (set(found) if isinstance(wanted, set) else found) == wanted
            pause_s = next(pauses, None)
            if is_as_wanted or pause_s is None:
                return found
            await asyncio.sleep(pause_s)


class Gates:
    """Steps that wait at named gates until a test opens them; ``calls`` and ``ended`` tell of them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.ended: list[str] = []
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._opened: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @step
    async def wait(self, name: str) -> str:
        """Wait for the gate of that name to open, and give the name."""
        self.calls.append(name)
        self._reached[name].set()
        try:
            await self._opened[name].wait()
        except asyncio.CancelledError:
            self.ended.append(f"{name} cancelled")
            raise
        self.ended.append(name)
        return name

    @step
    async def note(self, name: str) -> str:
        """Pass without waiting."""
        self.calls.append(name)
        self._reached[name].set()
        self.ended.append(name)
        return name

    def open(self, *names: str) -> None:
        """Let all pass who wait at these gates, and all who will."""
        for name in names:
            self._opened[name].set()

    async def reached(self, *names: str) -> None:
        """Until somebody has come to each of these gates.

        Raises:
            TimeoutError: nobody came, so the run has gone wrong.
        """
        async with asyncio.timeout(PATIENCE_S):
            for name in names:
                await self._reached[name].wait()


async def all_events(run: Run[Any], after: int = 0) -> list[Event]:
    """A run's events from ``after`` on, to its last one."""
    return [event async for event in run.events(after)]

"""Where the engine port's contract is tested: one storage, on which engines open and close."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from orchestrator.durable.steps import step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from orchestrator.durable.engine import Engine, Run
    from orchestrator.durable.runs import Event
    from orchestrator.durable.workflows import Workflow

    OpenEngine = Callable[
        [Sequence[Workflow[Any, Any]], Sequence[object]], AbstractAsyncContextManager[Engine]
    ]

PATIENCE_S = 30.0


class Lab:
    """Opens engines, one after the other, that share all that is durable."""

    def __init__(self, open_engine: OpenEngine) -> None:
        self._open_engine = open_engine
        self._own = uuid.uuid4()

    def id(self, name: str) -> str:
        """A run id that is this test's own, for a server that many tests share."""
        return f"{name}-{self._own}"

    def open(
        self, workflows: Sequence[Workflow[Any, Any]], steps: Sequence[object] = ()
    ) -> AbstractAsyncContextManager[Engine]:
        """An engine with these workflows and steps."""
        return self._open_engine(workflows, steps)


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

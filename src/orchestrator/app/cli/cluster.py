"""What a Temporal cluster says of its runs and schedules, read without a service."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from types import TracebackType

    from orchestrator.app.cli.code import Code
    from orchestrator.core.settings import Settings
    from orchestrator.durable.checking import RunCheck
    from orchestrator.durable.runs import Event, RunInfo, Status, StepView
    from orchestrator.durable.schedules import ScheduleInfo
    from orchestrator.durable.temporal import TemporalEngine


class ClusterReader:
    """The runs and schedules of the task queue of the settings; used as a context manager.

    It asks as `JournalReader` does, through an engine that works on none of them. Every method raises
    UnavailableError where the cluster does not answer.
    """

    _engine: TemporalEngine

    def __init__(self, settings: Settings, code: Code) -> None:
        self._settings = settings
        self._code = code
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()

    def __enter__(self) -> Self:
        """Connect."""
        from orchestrator.app.backends import temporal_for_reading

        opening = self._open.enter_async_context(temporal_for_reading(self._settings, self._code.workflows))
        try:
            self._engine = self._runner.run(opening)
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._runner:
            self._runner.run(self._open.aclose())

    @property
    def is_at_work(self) -> bool:
        """Whether some process, a service or a worker, works on these runs."""
        return self._runner.run(self._engine.has_workers())

    def list(
        self,
        *,
        status: Sequence[Status] = (),
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
    ) -> list[RunInfo]:
        """Runs, newest first."""
        return self._runner.run(self._engine.list(status=status, workflow=workflow, tags=tags, limit=limit))

    def describe(self, run_id: str) -> RunInfo:
        """Where a run stands.

        Raises:
            NotFoundError: there is none of that id.
        """

        async def described() -> RunInfo:
            return await (await self._engine.get(run_id)).describe()

        return self._runner.run(described())

    def events(self, run_id: str, after: int = 0) -> Sequence[Event]:
        """What was recorded of a run after that offset.

        Raises:
            NotFoundError: there is none of that id.
        """

        async def told() -> Sequence[Event]:
            return await (await self._engine.get(run_id)).events_so_far(after)

        return self._runner.run(told())

    def steps(self, run_id: str) -> Sequence[StepView]:
        """A run's steps.

        Raises:
            NotFoundError: there is none of that id.
        """

        async def taken() -> Sequence[StepView]:
            return await (await self._engine.get(run_id)).steps()

        return self._runner.run(taken())

    def children(self, run_id: str) -> Sequence[RunInfo]:
        """The child runs that a run began, in their order, as far as they are not deleted.

        Raises:
            NotFoundError: there is none of that id.
        """
        from orchestrator.core.errors import NotFoundError
        from orchestrator.durable.runs import EventType

        found = []
        for event in self.events(run_id):
            if event.type is EventType.CHILD_STARTED:
                with suppress(NotFoundError):
                    found.append(self.describe(str(event.data)))
        # A fork's history also tells of children of the run that it is a fork of.
        return [child for child in found if child.parent == run_id]

    def schedules(self) -> Sequence[ScheduleInfo]:
        """All schedules, by id."""
        return self._runner.run(self._engine.schedules())

    def check(self) -> Iterator[RunCheck]:
        """Every open run, replayed against the code at hand, one after the other."""
        checks = aiter(self._engine.check_runs())
        while (found := self._runner.run(_next(checks))) is not None:
            yield found


async def _next(checks: AsyncIterator[RunCheck]) -> RunCheck | None:
    return await anext(checks, None)

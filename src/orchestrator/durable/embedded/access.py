"""What handles ask of an open engine about one run: where it stands, what it recorded, and to change it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from orchestrator.durable.embedded.history import NEVER, reason_in
from orchestrator.durable.errors import MismatchError, RunClosedError
from orchestrator.durable.payloads import within_limit
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.runs import Status, check_force_after
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from orchestrator.core.redaction import Redactor
    from orchestrator.durable.embedded.history import RunRow
    from orchestrator.durable.embedded.open_runs import OpenRuns
    from orchestrator.durable.embedded.services import Services
    from orchestrator.durable.runs import RunInfo
    from orchestrator.streams import Entry


class RunAccess:
    """The runs of one open engine, by id or number."""

    def __init__(self, services: Services, runs: OpenRuns) -> None:
        self._services = services
        self._runs = runs

    @property
    def redactor(self) -> Redactor:
        """What hides secrets from watchers."""
        return self._services.rules.redactor

    def row(self, run_id: str) -> RunRow:
        """The stored row of a run.

        Raises:
            NotFoundError: there is none.
        """
        return self._runs.row(run_id)

    async def info(self, run_id: str) -> RunInfo:
        """Where a run stands now."""
        row = self.row(run_id)
        info = self._runs.info(row)
        if row.status != Status.FAILED or not self._services.histories.hides:
            return info
        with contextlib.suppress(UnreadableError):  # then its row tells no more than the kind of error
            return replace(info, reason=reason_in(await self._services.histories.fetch_last(row.number)))
        return info

    async def entries(self, number: int) -> Sequence[Entry]:
        """All that is durable of a run's history."""
        return await self._services.histories.fetch(number)

    async def history(self, run_id: str) -> tuple[RunRow, Sequence[Entry]]:
        """A run's row with all of its history, also what was recorded this very moment.

        Raises:
            NotFoundError: there is none, or it was deleted meanwhile.
        """
        while True:
            await self._services.journal.settled()
            row = self.row(run_id)
            entries = await self.entries(row.number)
            # A run that continued meanwhile has another seed, and entries of both histories may be read.
            if entries and self.row(run_id).seed == row.seed:
                return row, entries

    async def follow(self, number: int, run_id: str, after: int) -> AsyncIterator[Entry]:
        """A run's history as it grows; nothing where it has ended and all of it was seen."""
        row = self.row(run_id)
        if row.number != number or (row.closed_at is not None and after >= self._runs.last_offset(number)):
            return
        async for entry in self._services.histories.follow(number, after):
            yield entry

    async def ended(self, run_id: str) -> tuple[RunRow, bytes]:
        """Wait until a run has ended or is stuck; its row then, and the data of its last entry."""
        row, result = await self._runs.ended(run_id)
        if row.closed_at is None:
            return row, b""
        if result is None:
            result = await self._services.histories.fetch_last(row.number)
        return row, result

    def decode_result(self, type_name: str, data: bytes) -> Any:
        """A result as its workflow declares it; as plain JSON if the engine does not have the workflow."""
        try:
            return self._services.registry.workflow(type_name).output.decode(data)
        except NotRegisteredError:
            return from_json(data)

    async def _settled(self, run_id: str) -> RunInfo:
        """Where a run stands once what is under way is on the disk, its end perhaps."""
        await self._services.journal.settled()
        return await self.info(run_id)

    async def signal(self, run_id: str, name: str, data: bytes, signal_id: str | None) -> None:
        """Deliver a signal to an open run."""
        within_limit(data, f"signal {name}", self._services.rules.most_bytes)
        self._services.journal.check_writable()
        if not await self._runs.change(
            run_id,
            lambda run: run.signal(name, data, signal_id),
            pending=lambda row: self._runs.queue.signal(row, name, data, signal_id),
        ):
            status = (await self._settled(run_id)).status
            raise RunClosedError(f"run {run_id} is {status} and takes no signals")

    async def cancel(self, run_id: str, force_after: float | None) -> None:
        """Cancel an open run, and end it after so many seconds; end a stuck one."""
        check_force_after(force_after)
        self._services.journal.check_writable()
        end_at = NEVER if force_after is None else self._services.clock.time() + force_after
        while not await self._runs.change(run_id, lambda run: run.cancel(end_at)):
            if await self._runs.terminate(run_id):
                break

    async def pause(self, run_id: str) -> None:
        """Have an open run begin nothing new."""
        self._services.journal.check_writable()
        if not await self._runs.change(run_id, lambda run: run.pause(), pending=self._runs.queue.pause):
            status = (await self._settled(run_id)).status
            raise RunClosedError(f"run {run_id} is {status} and cannot be paused")

    async def resume(self, run_id: str) -> None:
        """Let a paused run go on; try a stuck one again."""
        self._services.journal.check_writable()
        runs = self._runs
        if not await runs.change(run_id, lambda run: run.resume(), pending=runs.queue.resume, stuck_too=True):
            info = await self._settled(run_id)
            if info.status is Status.STUCK:
                raise MismatchError(f"run {run_id} is stuck still: {info.reason}")
            raise RunClosedError(f"run {run_id} is {info.status} and cannot be resumed")

"""From the tables to the stream: each event once, soon after the commit that it tells of."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import structlog
from opentelemetry import trace
from sqlalchemy import delete, select

from orchestrator.core.clock import utc
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.patience import growing_pauses
from orchestrator.core.waiting import passed
from orchestrator.db import SYSTEM
from orchestrator.streams import NewEntry
from orchestrator.web.events.erasures import Erasures
from orchestrator.web.events.event import STREAM, Written
from orchestrator.web.events.tables import OutboxRow
from orchestrator.web.feature import Component

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.core.clock import Clock
    from orchestrator.db import Database, Session
    from orchestrator.streams import Streams
    from orchestrator.web.events.event import NewEvent

RELAYED_AT_ONCE: Final = 500
# What another process left behind, by a crash between its commit and the stream, waits no longer.
SWEPT_EVERY_S: Final = 30.0

log = structlog.get_logger()


class Outbox:
    """Events that are told if, and only if, what they tell of was committed.

    ``add`` writes an event in the transaction of the change. While this is entered, events go on to the
    stream as soon as their transaction commits, and what a crash or an outage left behind goes on in time.

    Each is there once, also when a relay is interrupted: entries are appended once by the event's id. Events
    of one owner come in the order in which their transactions followed each other, whoever relays: whoever
    sees the later one in the table sees the earlier one there too, or it is in the stream already.
    """

    def __init__(self, database: Database, streams: Callable[[], Streams], clock: Clock) -> None:
        self._database = database
        self._streams = streams
        self._clock = clock
        self._erasures = Erasures(streams, clock)
        self._due = asyncio.Event()
        self._waits_for: str | None = None
        self._relaying: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to relay, first what is there from before."""
        self._due.set()
        self._relaying = asyncio.create_task(self._relay_always(), name="outbox")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop. What is not relayed yet is at the next start."""
        if self._relaying is not None:
            self._relaying.cancel()
            with suppress(asyncio.CancelledError):
                await self._relaying

    def add(self, session: Session, event: NewEvent) -> None:
        """Tell of ``event`` if the transaction of ``session`` commits."""
        session.add(
            OutboxRow(
                id=event.id,
                owner=event.owner,
                type=event.type,
                data=dict(event.data),
                at=utc(self._clock.time()),
                traceparent=_traceparent(),
            )
        )
        session.after_commit(self._due.set)

    async def health(self) -> Component:
        """Degraded while events cannot go on; none is lost meanwhile."""
        return Component("healthy") if self._waits_for is None else Component("degraded", self._waits_for)

    async def relay(self) -> int:
        """Bring everything that is committed to the stream now; gives how many events.

        Raises:
            UnavailableError: the tables or the stream are away. What was relayed is; the rest stays.
        """
        relayed, may_be_more = 0, True
        while may_be_more and (rows := await self._next()):
            offsets = await self._streams().append_all(STREAM, [_entry(row) for row in rows])
            if await self._forget(rows) < len(rows):  # another relay had some of them too, or an erasure did
                await self._take_back(rows, offsets)
            relayed += len(rows)
            # What was committed since these were read tells so itself.
            may_be_more = len(rows) == RELAYED_AT_ONCE
        return relayed

    async def _next(self) -> list[OutboxRow]:
        query = select(OutboxRow).order_by(OutboxRow.number).limit(RELAYED_AT_ONCE)
        async with self._database.session(SYSTEM, has_time=True) as session:
            return await session.all(query)

    async def _forget(self, rows: list[OutboxRow]) -> int:
        relayed = delete(OutboxRow).where(OutboxRow.number.in_([row.number for row in rows]))
        async with self._database.session(SYSTEM) as session:
            return await session.change(relayed)

    async def _take_back(self, rows: list[OutboxRow], offsets: list[int]) -> None:
        """Remove from the stream what belongs to people who were erased while we had it in hand."""
        covered = await self._erasures.cover([(row.owner, row.at) for row in rows])
        gone = [offset for offset, is_covered in zip(offsets, covered, strict=True) if is_covered]
        if gone:
            await self._streams().remove(STREAM, gone)

    async def _relay_always(self) -> None:
        pauses = growing_pauses()
        while True:
            self._due.clear()
            try:
                await self.relay()
            except OrchestratorError as error:
                self._tell(error.message)
                await passed(self._clock, next(pauses))
            except (
                Exception
            ):  # a full disk under the tables, or our own mistake: neither may end this for good
                log.exception("events not relayed")
                self._tell("events cannot be relayed; the log says why")
                await passed(self._clock, next(pauses))
            else:
                self._tell(None)
                pauses = growing_pauses()
                await self._due_within(SWEPT_EVERY_S)

    async def _due_within(self, seconds: float) -> None:
        """Until a commit tells of events, or the time is over."""
        wake = self._clock.call_at(self._clock.time() + seconds, self._due.set, background=True)
        try:
            await self._due.wait()
        finally:
            wake.cancel()

    def _tell(self, waits_for: str | None) -> None:
        if waits_for is not None and self._waits_for is None:
            log.warning("events wait", reason=waits_for)
        elif waits_for is None and self._waits_for is not None:
            log.info("events go on")
        self._waits_for = waits_for


def _entry(row: OutboxRow) -> NewEntry:
    written = Written(owner=row.owner, at=row.at, data=row.data, traceparent=row.traceparent)
    return NewEntry(row.type, written.model_dump_json(exclude_none=True).encode(), key=row.id, once=True)


def _traceparent() -> str | None:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    trace_id, span_id = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
    return f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"

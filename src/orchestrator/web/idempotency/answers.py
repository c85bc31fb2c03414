"""Answers by key: all SQL of idempotency."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import and_, delete, func, or_, select, update

from orchestrator.core.clock import utc
from orchestrator.core.errors import ConflictError, TerminalError
from orchestrator.core.ids import id_of
from orchestrator.db import SYSTEM
from orchestrator.web.background import hourly
from orchestrator.web.idempotency.tables import IdempotencyRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from orchestrator.core.clock import Clock
    from orchestrator.db import Database
    from orchestrator.web.idempotency.attempt import Attempt

KEPT_FOR: Final = timedelta(hours=24)
LEASE_MARGIN: Final = timedelta(seconds=10)
# Of one caller, each hour: of what is beyond, first the answers are not kept and then the keys.
MOST_BYTES: Final = 16 * 1024 * 1024
MOST_ANSWERS: Final = 10_000

_SIZE: Final = func.coalesce(func.length(IdempotencyRow.body), 0)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered; without a ``body`` it is only known that it was."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """That an attempt is to go on. What it makes has this id, the same at each attempt under its key."""

    made_id: str


class Answers:
    """Lets one attempt at a time go on under a key, and keeps its answer for a day.

    ``longest_s`` is how many seconds a request may take. Whoever is under way for longer has crashed, and the
    next attempt takes over.
    """

    def __init__(self, database: Database, clock: Clock, *, longest_s: float) -> None:
        self._database = database
        self._clock = clock
        self._lease = timedelta(seconds=longest_s) + LEASE_MARGIN

    async def begin(self, attempt: Attempt) -> Answer | Begun:
        """The answer of an earlier attempt; where there is none, this one is to go on.

        Raises:
            ConflictError: another attempt is under way, or the answer was one that is not kept.
            TerminalError: the key was used for something else.
        """
        now = self._now()
        async with self._database.session(attempt.owner) as session:
            await session.alone(attempt.id)
            this = select(IdempotencyRow).where(IdempotencyRow.id == attempt.id)
            row = await session.one(this.with_for_update())  # a sweep waits, or has had it
            if row is None:
                row = IdempotencyRow(id=attempt.id)
                session.add(row)
                self._begin(row, attempt, now)
                return _begun(attempt, now)
            if row.expires_at <= now:
                row.status = row.headers = row.body = None
                self._begin(row, attempt, now)
                return _begun(attempt, now)
            if row.fingerprint != attempt.fingerprint:
                raise TerminalError(
                    "This Idempotency-Key was used for another request. Use a new key for each request.",
                    code="idempotency_key_reused",
                )
            if row.status is not None:
                return _kept(row)
            if row.leased_until > now:
                raise ConflictError(
                    "A request with this Idempotency-Key is under way. Ask again in a moment.",
                    code="idempotency_in_progress",
                )
            row.attempt, row.leased_until = attempt.number, now + self._lease
            return _begun(attempt, row.expires_at - KEPT_FOR)

    async def keep(self, attempt: Attempt, answer: Answer) -> None:
        """Keep the answer of an attempt that went on."""
        values = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        async with self._database.session(attempt.owner) as session:
            await session.change(update(IdempotencyRow).where(_is_of(attempt)).values(**values))

    async def release(self, attempt: Attempt) -> None:
        """Forget an attempt that came to nothing, so that the next one may go on."""
        async with self._database.session(attempt.owner) as session:
            await session.change(delete(IdempotencyRow).where(_is_of(attempt)))

    async def sweep(self) -> int:
        """Forget everybody's answers whose day is over, and of one caller's more than may be; how many."""
        over = delete(IdempotencyRow).where(IdempotencyRow.expires_at <= self._now())
        async with self._database.session(SYSTEM) as session:
            removed = await session.change(over)
            too_many = await session.all(_have_too_many())
        return removed + sum([await self._confine(owner) for owner in too_many])

    async def sweep_always(self) -> None:
        """Do so hour after hour."""
        async for _ in hourly(self._clock):
            log.info("idempotency keys swept", removed=await self.sweep())

    async def _confine(self, owner: str) -> int:
        """Keep the caller's latest answers, and the latest bodies; how many answers went."""
        theirs = (IdempotencyRow.owner == owner, IdempotencyRow.status.is_not(None))
        sizes = select(IdempotencyRow.expires_at, _SIZE).where(*theirs)
        async with self._database.session(SYSTEM) as session:
            kept = await session.rows(sizes.order_by(IdempotencyRow.expires_at.desc()))
            sums = zip(kept, accumulate(size for _, size in kept), strict=True)
            over = next((end for (end, _), held in sums if held > MOST_BYTES), None)
            if over is not None:
                old = update(IdempotencyRow).where(*theirs, IdempotencyRow.expires_at <= over)
                await session.change(old.values(body=None))
            if len(kept) <= MOST_ANSWERS:
                return 0
            oldest, _ = kept[MOST_ANSWERS]
            return await session.change(
                delete(IdempotencyRow).where(*theirs, IdempotencyRow.expires_at <= oldest)
            )

    def _now(self) -> datetime:
        return utc(self._clock.time())

    def _begin(self, row: IdempotencyRow, attempt: Attempt, now: datetime) -> None:
        """Let the row say that this attempt is under way."""
        row.fingerprint = attempt.fingerprint
        row.attempt = attempt.number
        row.leased_until = now + self._lease
        row.expires_at = now + KEPT_FOR


def _begun(attempt: Attempt, first_at: datetime) -> Begun:
    return Begun(id_of(attempt.id, first_at.timestamp()))


def _have_too_many() -> Select[str]:
    """The callers of whom more is kept than may be."""
    is_too_much = or_(func.count() > MOST_ANSWERS, func.sum(_SIZE) > MOST_BYTES)
    return select(IdempotencyRow.owner).group_by(IdempotencyRow.owner).having(is_too_much)


def _kept(row: IdempotencyRow) -> Answer:
    assert row.status is not None  # noqa: S101 - its caller looked
    if row.body is None:
        raise ConflictError(
            "This was done before under the same Idempotency-Key, and its answer is not kept: it held a "
            "secret, or was very large.",
            code="idempotency_answer_not_kept",
        )
    return Answer(row.status, row.headers or {}, row.body)


def _is_of(attempt: Attempt) -> ColumnElement[bool]:
    """Whether the row is this attempt's still."""
    return and_(IdempotencyRow.id == attempt.id, IdempotencyRow.attempt == attempt.number)

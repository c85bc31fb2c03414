"""Token budgets: one per session and one per day for everybody, counted so that neither is ever passed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date  # noqa: TC003 - pydantic reads it when an entry crosses an edge
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import BaseModel

from orchestrator.agents.model import (
    Answer,
    AnswerTooLongError,
    BadAnswerError,
    Model,
    ModelRefusedError,
    Picture,
    Prompt,
    estimated_tokens,
)
from orchestrator.core.clock import Clock, SystemClock, utc
from orchestrator.core.errors import BudgetExceededError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ShapeT = TypeVar("ShapeT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays: the owner, the session, and the step's attempt that the calls belong to."""

    owner: str
    session: str
    step_key: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Tokens of one call. ``key`` is the same whenever the same call is recorded; ``day`` is in UTC."""

    key: str
    owner: str
    session: str
    tokens: int
    day: date


class Ledger(Protocol):
    """Where spent tokens are written down."""

    async def record(self, entry: Entry) -> None:
        """Keep the entry; one with a key that is there already changes nothing."""

    async def spent_on(self, day: date) -> int:
        """Tokens that everybody spent on that day."""
        ...

    async def spent_in(self, session: str) -> int:
        """Tokens that the session has spent."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The most tokens to spend; None for no limit."""

    session_tokens: int | None = None
    daily_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class _Spending:
    spent: int
    under_way: int
    wanted: int


@dataclass(frozen=True, slots=True)
class _Rule:
    whose: str
    setting: str
    code: str

    def check(self, limit: int | None, tokens: _Spending) -> None:
        if limit is None or tokens.spent + tokens.under_way + tokens.wanted <= limit:
            return
        held = f", {tokens.under_way:,} more are held back for calls under way" if tokens.under_way else ""
        raise BudgetExceededError(
            f"{self.whose} {tokens.spent:,} of the {limit:,} tokens allowed are spent{held}, and the next "
            f"call may take {tokens.wanted:,}. Raise {self.setting} to allow more.",
            code=self.code,
        )


_SESSION = _Rule("In this session", "lessons.session_budget_tokens", "session_budget_exceeded")
_DAY = _Rule("Today, in all sessions together,", "lessons.daily_cap_tokens", "daily_cap_exceeded")


@dataclass(slots=True)
class Budget:
    """Limits, what was spent, and what calls under way may still spend.

    A call is refused when the most it can take (its prompt and ``max_tokens``) does not fit any more, so
    calls that run side by side cannot pass a limit together.
    """

    ledger: Ledger
    limits: Limits
    clock: Clock = field(default_factory=SystemClock)
    _under_way: dict[str, int] = field(default_factory=dict)

    def metered(self, model: Model, account: Account) -> Model:
        """The same model, on this budget."""
        return _MeteredModel(model, self, account)

    @asynccontextmanager
    async def reserved(self, session: str, tokens: int) -> AsyncIterator[None]:
        """Hold back ``tokens`` while a call is under way.

        Raises:
            BudgetExceededError: they do not fit into the session's or the day's budget.
        """
        day = utc(self.clock.time()).date()
        spent_in_session = await self.ledger.spent_in(session)
        spent_today = await self.ledger.spent_on(day)
        # Nothing is awaited from here to the reservation, so no other call can slip in between.
        own, all_under_way = self._under_way.get(session, 0), sum(self._under_way.values())
        _SESSION.check(self.limits.session_tokens, _Spending(spent_in_session, own, tokens))
        _DAY.check(self.limits.daily_tokens, _Spending(spent_today, all_under_way, tokens))
        self._under_way[session] = own + tokens
        try:
            yield
        finally:
            self._under_way[session] -= tokens
            if not self._under_way[session]:
                del self._under_way[session]


class _MeteredModel:
    """A model whose every call is checked before, and written down after, however it ends."""

    def __init__(self, model: Model, budget: Budget, account: Account) -> None:
        self._model = model
        self._budget = budget
        self._account = account
        self._calls = 0

    @property
    def generator(self) -> str:
        return self._model.generator

    async def structured(self, prompt: Prompt, shape: type[ShapeT]) -> Answer[ShapeT]:
        async with self._call(prompt) as call:
            answer = await self._model.structured(prompt, shape)
            call.tokens = answer.usage.tokens
            return answer

    async def stream(self, prompt: Prompt, on_text: Callable[[str], None]) -> Answer[str]:
        async with self._call(prompt) as call:

            def count(text: str) -> None:
                call.heard(text)
                on_text(text)

            answer = await self._model.stream(prompt, count)
            call.tokens = answer.usage.tokens
            return answer

    async def image(self, prompt: Prompt) -> Answer[Picture] | None:
        async with self._call(prompt) as call:
            answer = await self._model.image(prompt)
            call.tokens = answer.usage.tokens if answer else 0
            return answer

    @asynccontextmanager
    async def _call(self, prompt: Prompt) -> AsyncIterator[_Call]:
        self._calls += 1
        account = self._account
        call = _Call(f"{account.step_key}:{account.attempt}:{self._calls}", _prompt_tokens(prompt))
        async with self._budget.reserved(account.session, call.prompt_tokens + prompt.max_tokens):
            try:
                yield call
            except (BadAnswerError, ModelRefusedError, AnswerTooLongError) as error:
                call.tokens = error.usage.tokens
                raise
            finally:
                # Also when a stream is cut or its step cancelled: what was heard by then has been paid for.
                await self._write_down(call)

    async def _write_down(self, call: _Call) -> None:
        if call.tokens:
            account, today = self._account, utc(self._budget.clock.time()).date()
            entry = Entry(call.key, account.owner, account.session, call.tokens, today)
            await self._budget.ledger.record(entry)


@dataclass(slots=True)
class _Call:
    key: str
    prompt_tokens: int
    tokens: int = 0

    def heard(self, text: str) -> None:
        """Reckon the tokens so far, until the provider tells them."""
        self.tokens = max(self.tokens, self.prompt_tokens) + estimated_tokens(text)


def _prompt_tokens(prompt: Prompt) -> int:
    return estimated_tokens(prompt.system + prompt.user)

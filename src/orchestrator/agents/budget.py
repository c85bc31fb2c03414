"""Token budgets: one per session and one per day for everybody, counted on the safe side.

The most that a call can take is written down before it is made, and replaced by what it took when that is
known. A call that was cut off, cancelled or killed with its process stays counted at its most, since the
provider may charge for it. Prompts are reckoned by their length until the provider counts them, so a limit
can be passed by that difference in one call, and by no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date  # noqa: TC003 - pydantic reads it when an entry crosses an edge
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import BaseModel

from orchestrator.agents.model import (
    Answer,
    BadAnswerError,
    Model,
    NotServedError,
    Picture,
    Prompt,
    UnusableAnswerError,
    estimated_tokens,
)
from orchestrator.core.clock import Clock, SystemClock, utc
from orchestrator.core.errors import BudgetExceededError, RateLimitedError, TerminalError
from orchestrator.core.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")
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
    """Tokens of one call: the most it can take, then what it took. ``day``, when it was made, is in UTC."""

    key: str
    owner: str
    session: str
    tokens: int
    day: date


Check = Callable[[int, int], None]


class Ledger(Protocol):
    """Where spent tokens are written down."""

    async def reserve(self, entry: Entry, check: Check) -> None:
        """Keep a new entry, durable when this returns, unless ``check`` raises.

        ``check`` is told the tokens of its session's entries and those of everybody's entries of its day.
        Until the entry is kept no other is reserved, in whatever process.
        """

    async def settle(self, entry: Entry) -> None:
        """Give the kept entry of that key this one's tokens; durable when this returns."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit in words: whose tokens it counts, the setting that raises it, and the error's code."""

    whose: str
    setting: str
    code: str

    def check(self, limit: int | None, spent: int, wanted: int) -> None:
        """Let a call of ``wanted`` tokens through, or not.

        Raises:
            BudgetExceededError: they do not fit any more.
        """
        if limit is None or spent + wanted <= limit:
            return
        raise BudgetExceededError(
            f"{self.whose} {spent:,} of the {limit:,} tokens allowed are spent or held back for calls under "
            f"way, and the next call may take {wanted:,}. Raise {self.setting} to allow more.",
            code=self.code,
        )


SESSION = Rule("In this session", "lessons.session_budget_tokens", "session_budget_exceeded")
DAY = Rule("Today, in all sessions together,", "lessons.daily_cap_tokens", "daily_cap_exceeded")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most tokens to spend; None for no limit. ``session`` says what a session is to this room."""

    session_tokens: int | None = None
    daily_tokens: int | None = None
    session: Rule = SESSION


@dataclass(slots=True)
class Budget:
    """Limits, and what was spent and is held back for calls under way.

    A call is refused when the most it can take (its prompt and ``max_tokens``) does not fit any more, so
    calls that run side by side cannot pass a limit together.
    """

    ledger: Ledger
    limits: Limits
    clock: Clock = field(default_factory=SystemClock)

    def metered(self, model: Model, account: Account) -> Model:
        """The same model, on this budget."""
        return _MeteredModel(model, self, account)

    async def reserve(self, account: Account, tokens: int) -> Entry:
        """Write down the most that a call can take, before it is made.

        Raises:
            BudgetExceededError: it does not fit into the session's or the day's budget.
        """
        day = utc(self.clock.time()).date()
        # A process that dies may lose the attempt's number with it, so each call has a key of its own.
        key = f"{account.step_key}:{account.attempt}:{new_id()}"

        def check(in_session: int, on_day: int) -> None:
            self.limits.session.check(self.limits.session_tokens, in_session, tokens)
            DAY.check(self.limits.daily_tokens, on_day, tokens)

        entry = Entry(key, account.owner, account.session, tokens, day)
        await self.ledger.reserve(entry, check)
        return entry

    async def settle(self, entry: Entry, tokens: int) -> None:
        """Write down what the call took instead; once or more often."""
        await self.ledger.settle(replace(entry, tokens=tokens))


class _MeteredModel:
    """A model whose every call is written down before at its most, and after with what it took."""

    def __init__(self, model: Model, budget: Budget, account: Account) -> None:
        self._model = model
        self._budget = budget
        self._account = account

    @property
    def generator(self) -> str:
        return self._model.generator

    async def structured(self, prompt: Prompt, shape: type[ShapeT]) -> Answer[ShapeT]:
        return await self._counted(prompt, lambda: self._model.structured(prompt, shape), _taken)

    async def stream(self, prompt: Prompt, on_text: Callable[[str], None]) -> Answer[str]:
        return await self._counted(prompt, lambda: self._model.stream(prompt, on_text), _taken)

    async def image(self, prompt: Prompt) -> Answer[Picture] | None:
        return await self._counted(prompt, lambda: self._model.image(prompt), _taken_by_picture)

    async def _counted(self, prompt: Prompt, ask: Callable[[], Awaitable[T]], taken: Callable[[T], int]) -> T:
        most = estimated_tokens(prompt.system + prompt.user) + prompt.max_tokens
        entry = await self._budget.reserve(self._account, most)
        try:
            answer = await ask()
        except (BadAnswerError, UnusableAnswerError) as error:
            await self._budget.settle(entry, error.usage.tokens)
            raise
        except (NotServedError, RateLimitedError, TerminalError):
            await self._budget.settle(entry, 0)
            raise
        # Whatever else ends a call leaves open what the provider charges, so its most stays counted.
        await self._budget.settle(entry, taken(answer))
        return answer


def _taken(answer: Answer[T]) -> int:
    return answer.usage.tokens


def _taken_by_picture(answer: Answer[Picture] | None) -> int:
    return answer.usage.tokens if answer else 0

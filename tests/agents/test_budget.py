"""Budgets: checked before a call, counted after it, once."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from orchestrator.agents.budget import Account, Budget, Entry, Limits
from orchestrator.core.errors import BudgetExceededError, OrchestratorError
from support import model_server as server_says

if TYPE_CHECKING:
    from datetime import date

    from orchestrator.agents.model import Prompt
    from orchestrator.agents.openai_model import OpenAIModel
    from support.model_server import Answering, ModelServer

ACCOUNT = Account(owner="ann", session="s-1", step_key="s-1/content", attempt=1)


class Title(BaseModel):
    """A shape to ask for."""

    title: str


class MemoryLedger:
    """A ledger that forgets at the end of the test."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    async def record(self, entry: Entry) -> None:
        """Keep the first entry of a key."""
        self.entries.setdefault(entry.key, entry)

    async def spent_on(self, day: date) -> int:
        """Everybody's tokens of a day."""
        return sum(entry.tokens for entry in self.entries.values() if entry.day == day)

    async def spent_in(self, session: str) -> int:
        """A session's tokens."""
        return sum(entry.tokens for entry in self.entries.values() if entry.session == session)


@pytest.fixture
def ledger() -> MemoryLedger:
    """An empty ledger."""
    return MemoryLedger()


async def test_every_call_is_written_down_under_its_own_key(
    server: ModelServer, model: OpenAIModel, prompt: Prompt, ledger: MemoryLedger
) -> None:
    """Key, owner, session and tokens are there, for both ways of asking."""
    metered = Budget(ledger, Limits()).metered(model, ACCOUNT)
    server.will(server_says.text("Hello", tokens=(3, 4)), server_says.data({"title": "x"}, tokens=(5, 6)))
    await metered.stream(prompt, lambda _: None)
    await metered.structured(prompt, Title)
    assert [(entry.key, entry.owner, entry.session, entry.tokens) for entry in ledger.entries.values()] == [
        ("s-1/content:1:1", "ann", "s-1", 7),
        ("s-1/content:1:2", "ann", "s-1", 11),
    ]


@pytest.mark.parametrize(
    ("limits", "says", "code"),
    [
        (Limits(session_tokens=600), "lessons.session_budget_tokens", "session_budget_exceeded"),
        (Limits(daily_tokens=600), "lessons.daily_cap_tokens", "daily_cap_exceeded"),
    ],
)
async def test_a_call_that_may_pass_the_limit_is_not_made(
    server: ModelServer,
    model: OpenAIModel,
    prompt: Prompt,
    ledger: MemoryLedger,
    limits: Limits,
    says: str,
    code: str,
) -> None:
    """The refusal says which budget, how much is spent and which setting raises it."""
    metered = Budget(ledger, limits).metered(model, ACCOUNT)
    server.will(server_says.text("Hello", tokens=(100, 50)))
    await metered.stream(prompt, lambda _: None)
    with pytest.raises(BudgetExceededError, match=f"150 of the 600 tokens.*Raise {says}") as caught:
        await metered.stream(prompt, lambda _: None)
    assert caught.value.code == code
    assert len(server.asked) == 1


async def test_calls_side_by_side_cannot_pass_a_limit_together(
    server: ModelServer, model: OpenAIModel, prompt: Prompt, ledger: MemoryLedger
) -> None:
    """What a call under way may still take is held back from the next, and given back when it ends."""
    budget = Budget(ledger, Limits(session_tokens=1_000))
    metered, started, hold = budget.metered(model, ACCOUNT), asyncio.Event(), threading.Event()
    server.respond = server_says.text("One two", tokens=(10, 10), hold=hold)
    first = asyncio.create_task(metered.stream(prompt, lambda _: started.set()))
    await started.wait()
    with pytest.raises(BudgetExceededError, match="held back"):
        await metered.stream(prompt, lambda _: None)
    hold.set()
    await first
    await metered.stream(prompt, lambda _: None)
    assert await ledger.spent_in("s-1") == 40


@pytest.mark.parametrize(
    ("answer", "least"),
    [
        (server_says.text("x", finish="length", tokens=(30, 20)), 50),
        (server_says.text(None, refusal="I will not", tokens=(30, 20)), 50),
        (server_says.text("Eight tokens, more or less, of text.", cut=True), 16),
        (server_says.error(500), 0),
    ],
)
async def test_failed_calls_count_what_they_took(
    server: ModelServer,
    model: OpenAIModel,
    prompt: Prompt,
    ledger: MemoryLedger,
    answer: Answering,
    least: int,
) -> None:
    """A cut stream counts by what was heard; a call that never ran counts nothing."""
    server.will(answer)
    with pytest.raises(OrchestratorError):
        await Budget(ledger, Limits()).metered(model, ACCOUNT).stream(prompt, lambda _: None)
    spent = await ledger.spent_in("s-1")
    assert spent >= least
    assert (spent > 0) == (least > 0)


async def test_a_cancelled_call_counts_what_was_heard(
    server: ModelServer, model: OpenAIModel, prompt: Prompt, ledger: MemoryLedger
) -> None:
    """Cancelling a session does not hide what it spent."""
    started = asyncio.Event()
    server.will(server_says.text("One two", hold=threading.Event()))
    metered = Budget(ledger, Limits()).metered(model, ACCOUNT)
    streaming = asyncio.create_task(metered.stream(prompt, lambda _: started.set()))
    await started.wait()
    streaming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await streaming
    assert await ledger.spent_in("s-1") > 0

"""Budgets: what a call can take is counted before it, what it took after it, once."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from orchestrator.agents.budget import Account, Budget, Limits
from orchestrator.agents.openai_model import OpenAIModel
from orchestrator.core.errors import BudgetExceededError, OrchestratorError, UnavailableError
from support import model_server as server_says
from support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from orchestrator.agents.model import Prompt
    from orchestrator.core.settings import ModelSettings
    from support.model_server import Answering, Asked, ModelServer, Reply

ACCOUNT = Account(owner="ann", session="s-1", step_key="s-1/content", attempt=1)
MOST = 507  # tokens of a call with the tests' prompt: what it says, and 500 for the answer


class Title(BaseModel):
    """A shape to ask for."""

    title: str


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
    assert [(entry.owner, entry.session, entry.tokens) for entry in ledger.entries.values()] == [
        ("ann", "s-1", 7),
        ("ann", "s-1", 11),
    ]
    assert all(key.startswith("s-1/content:1:") for key in ledger.entries)


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
    assert ledger.spent_in("s-1") == 40


@pytest.mark.parametrize(
    ("answer", "took"),
    [
        (server_says.text("x", finish="length", tokens=(30, 20)), 50),
        (server_says.text(None, refusal="I will not", tokens=(30, 20)), 50),
        (server_says.text("Nobody knows what this cost", cut=True), MOST),
        (server_says.error(500), 0),
        (server_says.error(401), 0),
        (server_says.error(429), 0),
    ],
)
async def test_failed_calls_count_what_they_took(
    server: ModelServer,
    model: OpenAIModel,
    prompt: Prompt,
    ledger: MemoryLedger,
    answer: Answering,
    took: int,
) -> None:
    """What they say they took; a cut stream the most it can have taken; one that was not served nothing."""
    server.will(answer)
    with pytest.raises(OrchestratorError):
        await Budget(ledger, Limits()).metered(model, ACCOUNT).stream(prompt, lambda _: None)
    assert ledger.spent_in("s-1") == took


async def test_a_call_is_counted_before_it_is_made(
    server: ModelServer, model: OpenAIModel, prompt: Prompt, ledger: MemoryLedger
) -> None:
    """Whatever then becomes of the process, what the provider was asked for is written down."""
    counted: list[int] = []

    def answer(asked: Asked) -> Reply:
        counted.extend(entry.tokens for entry in ledger.entries.values())
        return server_says.data({"title": "x"}, tokens=(5, 6))(asked)

    server.will(answer)
    await Budget(ledger, Limits()).metered(model, ACCOUNT).structured(prompt, Title)
    assert counted == [MOST]
    assert ledger.spent_in("s-1") == 11


@pytest.mark.parametrize("way", ["structured", "stream"])
async def test_what_is_cut_off_stays_counted_at_its_most(
    server: ModelServer, settings: ModelSettings, prompt: Prompt, ledger: MemoryLedger, way: str
) -> None:
    """Out of time, cancelled, and tried again under the same attempt's number: each call counts."""
    hasty = OpenAIModel(settings.model_copy(update={"timeout_s": 0.05}))
    patient = OpenAIModel(settings)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def silence(request: Asked) -> Reply:
        loop.call_soon_threadsafe(asked.set)
        return server_says.never()(request)

    def ask(model: OpenAIModel) -> Coroutine[object, object, object]:
        metered = Budget(ledger, Limits()).metered(model, ACCOUNT)
        return (
            metered.structured(prompt, Title)
            if way == "structured"
            else metered.stream(prompt, lambda _: None)
        )

    server.respond = silence
    with pytest.raises(UnavailableError, match=r"model\.timeout_s"):
        await ask(hasty)
    assert ledger.spent_in("s-1") == MOST
    asked.clear()
    asking = asyncio.create_task(ask(patient))
    await asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert ledger.spent_in("s-1") == 2 * MOST
    await hasty.aclose()
    await patient.aclose()


async def test_an_unreachable_provider_costs_nothing(
    settings: ModelSettings, prompt: Prompt, ledger: MemoryLedger
) -> None:
    """Nobody was asked, so a budget outlasts a provider that is away."""
    absent = OpenAIModel(settings.model_copy(update={"base_url": "http://127.0.0.1:9/v1"}))
    with pytest.raises(UnavailableError, match=r"model\.base_url"):
        await Budget(ledger, Limits()).metered(absent, ACCOUNT).structured(prompt, Title)
    await absent.aclose()
    assert ledger.spent_in("s-1") == 0

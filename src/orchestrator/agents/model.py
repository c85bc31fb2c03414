"""What the house asks of a language model, and nothing more: a port that every provider can fill."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal  # noqa: TC003 - pydantic reads it when a durable step hands usage on
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pydantic import BaseModel

from orchestrator.core.errors import RetryableError, TerminalError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
ShapeT = TypeVar("ShapeT", bound=BaseModel)

DEFAULT_MAX_TOKENS = 2_048
BYTES_PER_TOKEN = 4  # OpenAI's own rule of thumb for English; other scripts give more bytes and more tokens


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to a model. The same ``idempotency_key`` marks the same question asked again.

    What goes to a provider under it says besides which body it is, and which try after useless answers.
    """

    system: str
    user: str
    idempotency_key: str
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call took.

    ``cost_usd`` is None when no price is set. ``estimated`` says that the provider reported no tokens
    and they were reckoned from the length of the texts.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal | None = None
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """Tokens in both directions."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A model's answer. ``generator`` is the label that every result shows people: who wrote it."""

    value: T
    usage: Usage
    model: str
    generator: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as JPEG bytes, with its size in pixels."""

    jpeg: bytes
    width: int
    height: int


class Model(Protocol):
    """A language model.

    Every method raises the house's own errors: RateLimitedError and UnavailableError when a later try may
    work (NotServedError when nothing was charged for this one), BadAnswerError when the answer was of no use,
    ModelRefusedError when the model will not answer, AnswerTooLongError when ``max_tokens`` cut the answer
    off, TerminalError when a setting is wrong.
    None of them tries again by itself: a durable step does that.
    """

    @property
    def generator(self) -> str:
        """The label for what this model writes: its name."""
        ...

    async def structured(self, prompt: Prompt, shape: type[ShapeT]) -> Answer[ShapeT]:
        """Answer in the given shape."""
        ...

    async def stream(self, prompt: Prompt, on_text: Callable[[str], None]) -> Answer[str]:
        """Answer in text: hand over each piece as it comes, then the whole."""
        ...

    async def image(self, prompt: Prompt) -> Answer[Picture] | None:
        """Draw what ``prompt.user`` describes; None when no image model is configured."""
        ...


class BadAnswerError(RetryableError):
    """The model's answer was not usable; another try may give a better one."""

    default_code = "bad_schema"

    def __init__(self, message: str, *, usage: Usage, code: str | None = None) -> None:
        """Take what the useless answer cost, since it counts too."""
        super().__init__(message, code=code)
        self.usage = usage


class UnusableAnswerError(TerminalError):
    """The model answered, and no other answer is to be expected."""

    default_code = "unusable_answer"

    def __init__(self, message: str, *, usage: Usage, code: str | None = None) -> None:
        """Take what the answer cost, since it counts too."""
        super().__init__(message, code=code)
        self.usage = usage


class ModelRefusedError(UnusableAnswerError):
    """The model declined to answer."""

    default_code = "model_refused"


class AnswerTooLongError(UnusableAnswerError):
    """The answer did not fit into the tokens that were allowed."""

    default_code = "answer_too_long"


class NotServedError(UnavailableError):
    """The provider was not reached, or said that it failed: nothing was answered, and nothing charged."""


def estimated_tokens(text: str) -> int:
    """Tokens of ``text``, reckoned from its length where the provider does not say."""
    return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)

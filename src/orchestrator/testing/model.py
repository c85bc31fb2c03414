"""A model that says what a test wrote down for it, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from orchestrator.agents.model import (
    Answer,
    AnswerTooLongError,
    BadAnswerError,
    ModelRefusedError,
    Picture,
    Prompt,
    Usage,
    estimated_tokens,
)
from orchestrator.core.errors import TerminalError
from orchestrator.testing.hanging import forever

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

T = TypeVar("T")
ShapeT = TypeVar("ShapeT", bound=BaseModel)

# How much of a prompt a message shows.
SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Call:
    """One question that the model was asked. ``shape`` is the class that a structured answer must have."""

    kind: Literal["structured", "stream", "image"]
    prompt: Prompt
    shape: type[BaseModel] | None = None

    def __str__(self) -> str:
        shape = f" of {self.shape.__name__}" if self.shape else ""
        words = " ".join(self.prompt.user.split())
        shown = words if len(words) <= SHOWN_CHARS else f"{words[:SHOWN_CHARS]}…"
        return f"{self.kind}{shape}: {shown!r}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with what it took. Tokens are reckoned from the length of the texts unless given.

    ``value`` is an object of the shape that is asked for, anything that has its JSON form, or text; text that
    is streamed comes in ``pieces``, word by word unless given.
    """

    value: object
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None
    pieces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse pieces of another text.

        Raises:
            ValueError: they do not make up the value.
        """
        if self.pieces and "".join(self.pieces) != self.value:
            raise ValueError(f"Reply(pieces={self.pieces!r}): together they are not {self.value!r}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model declines to answer."""

    message: str = "The model declined to answer this topic. Try other words."


@dataclass(frozen=True, slots=True)
class CutShort:
    """The answer reaches ``max_tokens`` before its end; what there is of it was streamed."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class BreaksOff:
    """The connection fails with ``error`` after this much text was streamed."""

    text: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Silence:
    """The model never answers. Time that the test owns goes on meanwhile."""


Line: TypeAlias = object
"""What the model does when asked: a `Reply` or its value, a `Refusal`, `CutShort`, `BreaksOff`, `Silence`,
an exception that is raised, or a function of the `Call` that gives one of these."""


class ScriptEndedError(TerminalError):
    """The model was asked more than its script has answers for."""

    default_code = "script_ended"


class ScriptMistakeError(TerminalError):
    """The script has an answer that no model could give to this question."""

    default_code = "script_mistake"


class _Question(NamedTuple):
    """What makes a question the same one, asked again."""

    kind: str
    shape: type[BaseModel] | None
    system: str
    user: str
    key: str


class ScriptedModel:
    """Keeps `orchestrator.agents.model.Model`: it answers with one line of its script after the other.

    ``ScriptedModel(Outline(title="Tides"), "The sea follows the moon.")`` gives the outline first, then the
    text. ``otherwise`` answers all that the script does not: a function of the `Call`, or one line for all.
    ``calls`` has every question. As a provider that keeps idempotency keys would, it gives the same answer
    again, without taking a new line, to the same question under the same key; a step that ran again after a
    crash sees nothing new. Errors and answers of no use are not kept.
    """

    def __init__(self, *script: Line, otherwise: Line = None, generator: str = "scripted-model") -> None:
        self.script = script
        self.otherwise = otherwise
        self.generator = generator
        self.calls: list[Call] = []
        self.unanswered: list[Call] = []
        self._next = 0
        self._kept: dict[_Question, Reply] = {}

    async def structured(self, prompt: Prompt, shape: type[ShapeT]) -> Answer[ShapeT]:
        """Answer in the given shape, checked by pydantic as a real answer is.

        Raises:
            BadAnswerError: the script's JSON does not have the shape. ScriptMistakeError: it has no JSON.
            Otherwise as every method: whatever the script says, or ScriptEndedError.
        """
        call = Call("structured", prompt, shape)
        reply = await self._reply(call, _nothing)
        text = _as_json(reply.value, call)
        usage = _usage(prompt, text, reply)
        try:
            value = shape.model_validate_json(text)
        except ValidationError as error:
            message = f"The model's answer does not have the shape of {shape.__name__}: {error}"
            raise BadAnswerError(message, usage=usage) from None
        self._keep(call, reply)
        return self._answer(value, usage)

    async def stream(self, prompt: Prompt, on_text: Callable[[str], None]) -> Answer[str]:
        """Answer in text, piece by piece.

        Raises:
            BadAnswerError: the text is empty. ScriptMistakeError: it is no text.
        """
        call = Call("stream", prompt)
        reply = await self._reply(call, on_text)
        if not isinstance(reply.value, str):
            raise _mistake(reply.value, call, "text")
        usage = _usage(prompt, reply.value, reply)
        await _stream(reply.pieces or _words(reply.value), on_text)
        if not reply.value.strip():
            raise BadAnswerError("The model answered with nothing.", usage=usage, code="empty_answer")
        self._keep(call, reply)
        return self._answer(reply.value, usage)

    async def image(self, prompt: Prompt) -> Answer[Picture] | None:
        """Draw; a script that says None has no image model.

        Raises:
            ScriptMistakeError: the script has something else than a `Picture`.
        """
        call = Call("image", prompt)
        reply = await self._reply(call, _nothing)
        if reply.value is None:
            return None
        if not isinstance(reply.value, Picture):
            raise _mistake(reply.value, call, "a Picture, or Reply(None) for no image model")
        self._keep(call, reply)
        return self._answer(reply.value, _usage(prompt, "", reply))

    def check(self, *, all_used: bool = True) -> None:
        """Whether the script was what was needed: neither too short nor, if ``all_used``, too long.

        Raises:
            AssertionError: something was asked that it has no answer to, or answers are left.
        """
        if self.unanswered:
            raise AssertionError(self._ended(self.unanswered[0]))
        left = len(self.script) - self._next
        if left and all_used:
            raise AssertionError(
                f"the script has {len(self.script)} answers, and {left} of them nobody asked for, "
                f"from {self.script[self._next]!r} on.\n{self._asked()}"
            )

    async def _reply(self, call: Call, on_text: Callable[[str], None]) -> Reply:
        """The next reply, or whatever else the script has the model do instead."""
        self.calls.append(call)
        await asyncio.sleep(0)  # as every real call lets others go on
        line = self._line(call)
        match line:
            case Refusal(message):
                raise ModelRefusedError(message, usage=_usage(call.prompt, ""))
            case CutShort(text):
                await _stream(_words(text), on_text)
                limit = call.prompt.max_tokens
                message = f"The model's answer was cut off at the {limit} tokens it was allowed."
                raise AnswerTooLongError(message, usage=_usage(call.prompt, text))
            case BreaksOff(text, error):
                await _stream(_words(text), on_text)
                raise error
            case Silence():
                await forever()
            case Exception():
                raise line
        return line if isinstance(line, Reply) else Reply(line)

    def _line(self, call: Call) -> Line:
        kept = self._kept.get(_question(call))
        if kept is not None:
            return kept
        if self._next < len(self.script):
            line = self.script[self._next]
            self._next += 1
        else:
            line = self.otherwise
        if callable(line) and not isinstance(line, type):
            line = line(call)
        if line is None:
            self.unanswered.append(call)
            raise ScriptEndedError(self._ended(call))
        return line

    def _keep(self, call: Call, reply: Reply) -> None:
        self._kept[_question(call)] = reply

    def _answer(self, value: T, usage: Usage) -> Answer[T]:
        return Answer(value, usage, self.generator, self.generator)

    def _ended(self, call: Call) -> str:
        return (
            f"the scripted model has no answer to {call}: its {len(self.script)} answers are used up"
            f"{' and `otherwise` gave none' if self.otherwise is not None else ''}. Give it more, or "
            f"`otherwise=` a function of the call.\n{self._asked()}"
        )

    def _asked(self) -> str:
        asked = "".join(f"\n  {number}. {call}" for number, call in enumerate(self.calls, 1))
        return f"It was asked:{asked or ' nothing'}"


def _question(call: Call) -> _Question:
    prompt = call.prompt
    return _Question(call.kind, call.shape, prompt.system, prompt.user, prompt.idempotency_key)


def _as_json(value: object, call: Call) -> str:
    """What a provider would have sent."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        if call.shape is not None and not isinstance(value, call.shape):
            raise _mistake(value, call, f"a {call.shape.__name__}")
        return value.model_dump_json()
    try:
        return to_json(value).decode()
    except ValueError:
        raise _mistake(value, call, "an object with a JSON form") from None


def _mistake(value: object, call: Call, wanted: str) -> ScriptMistakeError:
    return ScriptMistakeError(f"the script answers {call} with {value!r}; give it {wanted}")


def _usage(prompt: Prompt, text: str, reply: Reply | None = None) -> Usage:
    asked = estimated_tokens(prompt.system + prompt.user)
    answered = estimated_tokens(text)
    if reply is None:
        return Usage(asked, answered)
    return Usage(
        asked if reply.prompt_tokens is None else reply.prompt_tokens,
        answered if reply.completion_tokens is None else reply.completion_tokens,
        reply.cost_usd,
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\s*\S+|\s+$", text))


async def _stream(pieces: tuple[str, ...], on_text: Callable[[str], None]) -> None:
    for piece in pieces:
        on_text(piece)
        await asyncio.sleep(0)


def _nothing(_: str) -> None:
    """Where nothing is streamed."""

"""A model that says what a test wrote down, so that what the workflow makes of it can be seen."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from orchestrator import Context, EmbeddedEngine, Retry, step, step_info, workflow
from orchestrator.agents.model import (
    AnswerTooLongError,
    BadAnswerError,
    Model,
    ModelRefusedError,
    Picture,
    Prompt,
)
from orchestrator.core.errors import RateLimitedError, UnavailableError
from orchestrator.durable.errors import RunFailedError
from orchestrator.testing import (
    BreaksOff,
    Call,
    CutShort,
    ManualClock,
    Refusal,
    Reply,
    ScriptedModel,
    ScriptEndedError,
    Silence,
)
from orchestrator.testing.model import ScriptMistakeError

if TYPE_CHECKING:
    from pathlib import Path


class Outline(BaseModel):
    """What a structured question asks for."""

    title: str
    sections: int = 2


class Quiz(BaseModel):
    """Something else."""

    questions: list[str]


def asked(user: str = "Tides, please", key: str = "") -> Prompt:
    """A prompt; each has a key of its own unless given."""
    return Prompt("You write lessons.", user, key or f"key of {user}")


async def streamed(model: Model, user: str = "Tides, please") -> tuple[list[str], str]:
    """The pieces of a streamed answer, and the whole."""
    pieces: list[str] = []
    answer = await model.stream(asked(user), pieces.append)
    return pieces, answer.value


async def test_answers_come_in_the_order_of_the_script() -> None:
    """Objects, plain data and text, each for the kind of question that takes it; all questions are kept."""
    model = ScriptedModel(Outline(title="Tides"), {"title": "Ebb"}, "The sea rises.")
    first = await model.structured(asked("a"), Outline)
    second = await model.structured(asked("b"), Outline)
    pieces, text = await streamed(model, "c")

    assert first.value == Outline(title="Tides")
    assert second.value == Outline(title="Ebb")
    assert (pieces, text) == (["The", " sea", " rises."], "The sea rises.")
    assert (first.model, first.generator) == ("scripted-model", "scripted-model")
    assert [(call.kind, call.prompt.user, call.shape) for call in model.calls] == [
        ("structured", "a", Outline),
        ("structured", "b", Outline),
        ("stream", "c", None),
    ]
    model.check()


async def test_a_rule_answers_by_what_is_asked() -> None:
    """A function of the call answers all that the script does not, in whatever order it is asked."""

    def rule(call: Call) -> object:
        return Outline(title=call.prompt.user) if call.shape is Outline else f"About {call.prompt.user}."

    model = ScriptedModel("First.", otherwise=rule)
    assert (await streamed(model, "tides"))[1] == "First."
    assert (await streamed(model, "ebb"))[1] == "About ebb."
    assert (await model.structured(asked("moon"), Outline)).value.title == "moon"


async def test_what_an_answer_took_is_told() -> None:
    """Tokens are reckoned from the texts, four bytes each, unless the script says them; so is the cost."""
    model = ScriptedModel("Four bytes a token.", Reply("x", 12, 34, Decimal("0.5")))
    plain = (await model.stream(asked("1"), lambda _: None)).usage
    told = (await model.stream(asked("2"), lambda _: None)).usage
    assert (plain.prompt_tokens, plain.completion_tokens, plain.cost_usd) == (5, 5, None)
    assert (told.prompt_tokens, told.completion_tokens, told.cost_usd) == (12, 34, Decimal("0.5"))


async def test_data_of_another_shape_is_a_bad_answer() -> None:
    """As with a real provider: JSON that is broken or does not fit can be tried again, and has its price."""
    model = ScriptedModel("{oops", {"name": "Tides"}, {"title": "Tides"})
    for _ in range(2):
        with pytest.raises(BadAnswerError, match="shape of Outline") as caught:
            await model.structured(asked(), Outline)
        assert caught.value.usage.tokens > 0
    assert (await model.structured(asked(), Outline)).value.title == "Tides"


@pytest.mark.parametrize(
    ("line", "error", "seen"),
    [
        (RateLimitedError(retry_after=7), RateLimitedError, []),
        (Refusal(), ModelRefusedError, []),
        (CutShort("The moon"), AnswerTooLongError, ["The", " moon"]),
        (
            BreaksOff("The moon", UnavailableError("cut", code="stream_cut")),
            UnavailableError,
            ["The", " moon"],
        ),
        ("  ", BadAnswerError, ["  "]),
    ],
)
async def test_whatever_a_model_does_wrong(line: object, error: type[Exception], seen: list[str]) -> None:
    """Each failing of a provider can be written into the script; what came before it was streamed."""
    pieces: list[str] = []
    with pytest.raises(error):
        await ScriptedModel(line).stream(asked(), pieces.append)
    assert pieces == seen


async def test_pieces_may_be_given() -> None:
    """Tests of what shows half a word say where an answer is cut; the pieces make up the whole."""
    model = ScriptedModel(Reply("Moonlight", pieces=("Moon", "light")))
    assert await streamed(model) == (["Moon", "light"], "Moonlight")
    with pytest.raises(ValueError, match="together they are not 'Moonlight'"):
        Reply("Moonlight", pieces=("Moon",))


async def test_pictures() -> None:
    """A picture, or a model that has none."""
    picture = Picture(b"jpeg", 10, 20)
    model = ScriptedModel(picture, Reply(None))
    drawn = await model.image(asked("1"))
    assert drawn is not None
    assert drawn.value is picture
    assert await model.image(asked("2")) is None


async def test_a_script_that_ends_says_what_was_asked() -> None:
    """The message names the question without an answer and all before it; so does a later check."""
    model = ScriptedModel("One.")
    await streamed(model, "first question")
    with pytest.raises(
        ScriptEndedError, match="no answer to structured of Outline: 'second question'"
    ) as caught:
        await model.structured(asked("second question"), Outline)
    assert "1. stream: 'first question'" in str(caught.value)
    with pytest.raises(AssertionError, match="second question"):
        model.check()


async def test_a_rule_without_an_answer_says_so() -> None:
    """A rule that does not know a question is a script that ended."""
    with pytest.raises(ScriptEndedError, match="`otherwise` gave none"):
        await streamed(ScriptedModel(otherwise=lambda _: None))


async def test_answers_nobody_asked_for_are_found() -> None:
    """A script that is too long is a test that does not say what happens."""
    model = ScriptedModel("One.", "Two.")
    await streamed(model)
    with pytest.raises(AssertionError, match=r"1 of them nobody asked for, from 'Two.' on"):
        model.check()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [(Quiz(questions=[]), "a Outline"), (object(), "an object with a JSON form")],
)
async def test_a_script_that_no_model_could_say(line: object, wanted: str) -> None:
    """An object of another class is the test's own mistake, and no answer that could be tried again."""
    with pytest.raises(ScriptMistakeError, match=wanted):
        await ScriptedModel(line).structured(asked(), Outline)


async def test_texts_and_pictures_are_told_apart() -> None:
    """Streams want text, and drawings want a picture."""
    with pytest.raises(ScriptMistakeError, match="give it text"):
        await streamed(ScriptedModel(Outline(title="Tides")))
    with pytest.raises(ScriptMistakeError, match="give it a Picture"):
        await ScriptedModel("words").image(asked())


async def test_the_same_question_has_the_same_answer() -> None:
    """Asked again under the same key, as by a step after a crash, it does not use up the script."""
    model = ScriptedModel("One.", "Two.")
    assert (await streamed(model))[1] == (await streamed(model))[1] == "One."
    assert (await streamed(model, "something else"))[1] == "Two."
    assert len(model.calls) == 3


class Writer:
    """Steps that ask a model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @step(retry=Retry(attempts=3, backoff=(1.0,)))
    async def outline(self, topic: str) -> Outline:
        """Ask for an outline."""
        prompt = Prompt("You write lessons.", topic, step_info().idempotency_key)
        return (await self._model.structured(prompt, Outline)).value


@workflow
async def plan(ctx: Context, topic: str) -> str:
    """One question; gives up after an hour."""
    async with asyncio.timeout(3600):
        return (await ctx.run(Writer.outline, topic)).title


async def test_a_workflow_asks_again_when_told_to(tmp_path: Path) -> None:
    """Rate limits and bad answers lead to retries at the right times, without any waiting."""
    clock = ManualClock()
    model = ScriptedModel(RateLimitedError(retry_after=90), "{oops", Outline(title="Tides"))
    path = tmp_path / "runs.db"
    async with EmbeddedEngine(path, workflows=[plan], steps=[Writer(model)], clock=clock) as engine:
        run = await engine.start(plan, "tides")
        assert (await clock.advance_to_next()).total_seconds() == 90
        assert (await clock.advance_to_next()).total_seconds() == 1
        assert await run.result() == "Tides"
    model.check()


async def test_a_model_that_never_answers(tmp_path: Path) -> None:
    """Silence lets time pass, so that the workflow's own patience can be tested."""
    clock = ManualClock()
    path = tmp_path / "runs.db"
    steps = [Writer(ScriptedModel(Silence()))]
    async with EmbeddedEngine(path, workflows=[plan], steps=steps, clock=clock) as engine:
        run = await engine.start(plan, "tides")
        await clock.advance(hours=1)
        with pytest.raises(RunFailedError, match="TimeoutError"):
            await run.result()


async def test_a_script_that_ends_is_not_tried_again(tmp_path: Path) -> None:
    """The run fails at once, with the message of the script."""
    clock = ManualClock()
    model = ScriptedModel()
    path = tmp_path / "runs.db"
    async with EmbeddedEngine(path, workflows=[plan], steps=[Writer(model)], clock=clock) as engine:
        with pytest.raises(RunFailedError, match="the scripted model has no answer"):
            await (await engine.start(plan, "tides")).result()
    assert len(model.calls) == 1

"""The real openai client against a provider on a real socket."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from decimal import Decimal
from email.utils import format_datetime
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from pydantic import BaseModel

from orchestrator.agents.model import (
    AnswerTooLongError,
    BadAnswerError,
    ModelRefusedError,
    Usage,
)
from orchestrator.agents.openai_model import OpenAIModel
from orchestrator.core.clock import SystemClock, utc
from orchestrator.core.errors import (
    OrchestratorError,
    RateLimitedError,
    TerminalError,
    UnavailableError,
)
from support import model_server as server_says

if TYPE_CHECKING:
    from orchestrator.agents.model import Prompt
    from orchestrator.core.settings import ModelSettings
    from support.model_server import Answering, ModelServer

NOW = 1_700_000_000.0


class Outline(BaseModel):
    """A shape to ask for."""

    title: str
    parts: list[str]


class StoppedClock(SystemClock):
    """A clock that shows one time."""

    def time(self) -> float:
        """Always the same moment."""
        return NOW


def png(width: int = 40, height: int = 30) -> bytes:
    """A half-transparent picture."""
    buffer = BytesIO()
    Image.new("RGBA", (width, height), (200, 30, 30, 128)).save(buffer, "PNG")
    return buffer.getvalue()


async def test_structured_answers_come_in_the_shape_asked_for(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """The schema is strict, and value, tokens, exact cost and who wrote it come back."""
    server.will(server_says.data({"title": "Light", "parts": ["a", "b"]}, tokens=(1000, 500)))
    answer = await model.structured(prompt, Outline)
    assert answer.value == Outline(title="Light", parts=["a", "b"])
    assert answer.usage == Usage(1000, 500, Decimal("0.00045"))
    assert (answer.model, answer.generator) == ("test-model", "test-model")
    asked = server.asked[0]
    assert asked.body["response_format"]["json_schema"]["strict"] is True
    assert asked.shape == "Outline"
    assert asked.body["max_tokens"] == 500
    assert asked.headers["idempotency-key"].startswith("run-1/step-2/")
    assert asked.headers["authorization"] == "Bearer sk-very-secret"


async def test_text_is_handed_over_as_it_comes(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """The first word arrives while the provider is still holding back the second."""
    hold, first = threading.Event(), asyncio.Event()
    pieces: list[str] = []

    def on_text(piece: str) -> None:
        pieces.append(piece)
        first.set()

    server.will(server_says.text("Plants eat light", tokens=(7, 3), hold=hold))
    streaming = asyncio.create_task(model.stream(prompt, on_text))
    await first.wait()
    assert pieces == ["Plants"]
    hold.set()
    answer = await streaming
    assert pieces == ["Plants", " eat", " light"]
    assert (answer.value, answer.usage.tokens, answer.usage.estimated) == ("Plants eat light", 10, False)
    assert server.asked[0].body["stream_options"] == {"include_usage": True}


async def test_tokens_are_reckoned_when_the_provider_does_not_tell(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """A budget must not be blind to a server that reports nothing."""
    server.will(server_says.text("x" * 400, tokens=None))
    usage = (await model.stream(prompt, lambda _: None)).usage
    assert usage.estimated
    assert usage.completion_tokens == 100


async def test_keyless_servers_get_no_authorization(
    server: ModelServer, settings: ModelSettings, prompt: Prompt
) -> None:
    """Ollama and vLLM need no key, and an unset price is an unknown cost."""
    keyless = OpenAIModel(settings.model_copy(update={"api_key": None, "price_input_per_million": None}))
    server.will(server_says.text("Hello"))
    answer = await keyless.stream(prompt, lambda _: None)
    await keyless.aclose()
    assert "authorization" not in server.asked[0].headers
    assert answer.usage.cost_usd is None


async def test_a_server_without_json_schema_gets_the_schema_in_the_prompt(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """It is asked once more in plain JSON mode, and from then on so at once."""
    complaint = server_says.error(400, message="response_format json_schema is not supported")
    answer = server_says.data({"title": "Light", "parts": []})
    server.will(complaint, answer, answer)
    await model.structured(prompt, Outline)
    assert (await model.structured(prompt, Outline)).value.title == "Light"
    assert [asked.shape for asked in server.asked] == ["Outline", None, None]
    assert server.asked[2].body["response_format"] == {"type": "json_object"}
    assert '"parts"' in server.asked[2].body["messages"][0]["content"]


async def test_newer_names_are_used_where_the_server_asks_for_them(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """A model that refuses max_tokens gets max_completion_tokens."""
    server.will(
        server_says.error(400, code="unsupported_parameter", param="max_tokens"), server_says.text("Hello")
    )
    await model.stream(prompt, lambda _: None)
    assert server.asked[1].body["max_completion_tokens"] == 500
    assert "max_tokens" not in server.asked[1].body


def keys(server: ModelServer) -> list[str]:
    """The idempotency keys of the requests, in their order."""
    return [asked.headers["idempotency-key"] for asked in server.asked]


@pytest.mark.parametrize("trouble", [server_says.error(500), server_says.error(429), server_says.never()])
async def test_the_key_stays_while_the_outcome_is_unknown(
    server: ModelServer, settings: ModelSettings, prompt: Prompt, trouble: Answering
) -> None:
    """So that a provider that did the work after all does not do it twice, also after a restart of ours."""
    server.will(trouble, server_says.data({"title": "Light", "parts": []}))
    for timeout_s in (0.2, 30.0):
        model = OpenAIModel(settings.model_copy(update={"timeout_s": timeout_s}))
        with suppress(OrchestratorError):
            await model.structured(prompt, Outline)
        await model.aclose()
    assert len(server.asked) == 2
    assert len(set(keys(server))) == 1


async def test_no_key_goes_out_with_two_bodies(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """Asked once more without a part, or in another way, it is another request."""
    server.will(
        server_says.error(400, param="max_tokens"),
        server_says.error(400, message="no response_format"),
        server_says.data({"title": "Light", "parts": []}),
        server_says.text("Hello"),
    )
    await model.structured(prompt, Outline)
    await model.stream(prompt, lambda _: None)
    assert len(set(keys(server))) == len(server.asked) == 4


async def test_a_useless_answer_is_not_asked_for_again_under_its_key(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """A provider that remembers keys would repeat it for ever."""
    server.will(
        server_says.text("not JSON"),
        server_says.text("not JSON"),
        server_says.error(500),
        server_says.data({"title": "Light", "parts": []}),
    )
    for _ in range(4):
        with suppress(OrchestratorError):
            await model.structured(prompt, Outline)
    first, second, third, fourth = keys(server)
    assert third == fourth
    assert len({first, second, third}) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (server_says.error(429), RateLimitedError, "rate_limited"),
        (server_says.error(429, code="insufficient_quota"), TerminalError, "model_no_credit"),
        (server_says.error(500), UnavailableError, "unavailable"),
        (server_says.error(401), TerminalError, "model_key_refused"),
        (server_says.error(403), TerminalError, "model_key_refused"),
        (server_says.error(404), TerminalError, "model_not_found"),
        (server_says.error(400, message="A private question is wrong"), TerminalError, "model_rejected"),
        (server_says.text(None, refusal="I will not"), ModelRefusedError, "model_refused"),
        (server_says.text("Half", finish="content_filter"), ModelRefusedError, "model_refused"),
        (server_says.text("Half", finish="length"), AnswerTooLongError, "answer_too_long"),
    ],
)
@pytest.mark.parametrize("way", ["structured", "stream"])
async def test_a_providers_errors_become_ours(
    server: ModelServer,
    model: OpenAIModel,
    prompt: Prompt,
    answer: Answering,
    kind: type[OrchestratorError],
    code: str,
    way: str,
) -> None:
    """Each says of which kind it is, is asked once only, and quotes neither key nor prompt."""
    server.will(answer)
    asking = (
        model.structured(prompt, Outline) if way == "structured" else model.stream(prompt, lambda _: None)
    )
    with pytest.raises(kind) as caught:
        await asking
    assert caught.value.code == code
    assert "private" not in caught.value.message
    assert "secret" not in caught.value.message
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (format_datetime(utc(NOW + 30), usegmt=True), 30.0),
        ("soon", None),
        ("-3", 0.0),
    ],
)
async def test_the_providers_wish_to_wait_is_kept(
    server: ModelServer, settings: ModelSettings, prompt: Prompt, header: str, seconds: float | None
) -> None:
    """Retry-After counts in seconds and as a date; nonsense counts as not said."""
    model = OpenAIModel(settings, clock=StoppedClock())
    server.will(server_says.error(429, retry_after=header))
    with pytest.raises(RateLimitedError) as caught:
        await model.structured(prompt, Outline)
    await model.aclose()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("content", ["not JSON", '{"title": 3}', "", None])
async def test_a_wrong_shape_may_be_tried_again(
    server: ModelServer, model: OpenAIModel, prompt: Prompt, content: str | None
) -> None:
    """The error names the shape and the fields, not the words, and carries what the answer cost."""
    server.will(server_says.text(content, tokens=(10, 5)))
    with pytest.raises(BadAnswerError, match="Outline") as caught:
        await model.structured(prompt, Outline)
    assert caught.value.code == "bad_schema"
    assert caught.value.usage.tokens == 15
    assert "not JSON" not in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [
        server_says.text("Half an answer", cut=True),
        server_says.text("No end", finish=None),
        server_says.raw(b"data: {garbage\n\n", content_type="text/event-stream"),
    ],
)
async def test_a_broken_stream_may_be_tried_again(
    server: ModelServer, model: OpenAIModel, prompt: Prompt, answer: Answering
) -> None:
    """Half an answer is never taken for a whole one."""
    server.will(answer)
    with pytest.raises(UnavailableError):
        await model.stream(prompt, lambda _: None)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"choices": []}', b"{"])
async def test_a_server_that_speaks_something_else_is_unavailable(
    server: ModelServer, model: OpenAIModel, prompt: Prompt, body: bytes
) -> None:
    """A login page or an empty envelope is a clear error, not a crash."""
    server.will(server_says.raw(body))
    with pytest.raises(UnavailableError):
        await model.structured(prompt, Outline)


async def test_a_slow_server_is_given_up(
    server: ModelServer, settings: ModelSettings, prompt: Prompt
) -> None:
    """The time is a setting, which the error names, and holds for streams too."""
    hasty = OpenAIModel(settings.model_copy(update={"timeout_s": 0.05}))
    server.will(server_says.never(), server_says.text("One two", hold=threading.Event()))
    for asking in (hasty.structured(prompt, Outline), hasty.stream(prompt, lambda _: None)):
        with pytest.raises(UnavailableError, match=r"model\.timeout_s"):
            await asking
    await hasty.aclose()


async def test_an_absent_server_is_unavailable(settings: ModelSettings, prompt: Prompt) -> None:
    """A connection that fails names the setting that holds the address."""
    absent = OpenAIModel(settings.model_copy(update={"base_url": "http://127.0.0.1:9/v1"}))
    with pytest.raises(UnavailableError, match=r"model\.base_url"):
        await absent.structured(prompt, Outline)
    await absent.aclose()


async def test_the_watchers_own_error_stays_its_own(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """A fault of whoever takes the text is not blamed on the provider."""
    server.will(server_says.text("One two"))

    def fail(_: str) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await model.stream(prompt, fail)


async def test_pictures_come_as_jpeg(server: ModelServer, model: OpenAIModel, prompt: Prompt) -> None:
    """Whatever the provider draws is written anew as JPEG, on white where it was transparent."""
    server.will(server_says.picture(png()))
    answer = await model.image(prompt)
    assert answer is not None
    drawn = Image.open(BytesIO(answer.value.jpeg))
    assert (drawn.format, drawn.size) == ("JPEG", (40, 30))
    red, green, _ = drawn.getpixel((20, 15))  # type: ignore[misc] # an RGB picture has triples
    assert red > green > 100
    assert server.asked[0].body["response_format"] == "b64_json"
    assert server.asked[0].body["model"] == answer.generator == "test-painter"


async def test_addresses_of_pictures_are_not_fetched(
    server: ModelServer, model: OpenAIModel, prompt: Prompt
) -> None:
    """An answer cannot make us call a place in our own network."""
    server.will(server_says.picture_address(f"{server.base_url}/private"))
    with pytest.raises(TerminalError, match=r"model\.image_model"):
        await model.image(prompt)
    assert len(server.asked) == 1


@pytest.mark.parametrize("content", [b"no picture", png()[:60], png(6000, 6000)])
async def test_bad_pictures_are_refused(
    server: ModelServer, model: OpenAIModel, prompt: Prompt, content: bytes
) -> None:
    """Garbage, half files and decompression bombs are errors that say what is wrong."""
    server.will(server_says.picture(content))
    with pytest.raises(BadAnswerError, match="picture cannot be used") as caught:
        await model.image(prompt)
    assert caught.value.code == "bad_picture"


async def test_no_image_model_means_no_picture(settings: ModelSettings, prompt: Prompt) -> None:
    """None says that pictures are drawn elsewhere; nothing is called."""
    model = OpenAIModel(settings.model_copy(update={"image_model": None}))
    assert await model.image(prompt) is None

"""Any provider that speaks the OpenAI API: OpenAI itself, Ollama, vLLM and many more.

What a provider says is never repeated in an error or a log line: it may quote the prompt or the key.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from orchestrator.agents.jpeg import jpeg_from_base64
from orchestrator.agents.model import (
    Answer,
    AnswerTooLongError,
    BadAnswerError,
    ModelRefusedError,
    Picture,
    UnusableAnswerError,
    Usage,
    estimated_tokens,
)
from orchestrator.agents.provider_errors import explained, lacking_feature
from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from openai import AsyncOpenAI, AsyncStream
    from openai.types import CompletionUsage, ImagesResponse
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    from orchestrator.agents.model import Prompt
    from orchestrator.core.settings import ModelSettings

ShapeT = TypeVar("ShapeT", bound=BaseModel)
ResultT = TypeVar("ResultT")

OPENAI_BASE_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 10.0
IMAGE_SIZE = "1024x1024"  # the one size that every image model of OpenAI draws
TOKENS_PER_PRICE = 1_000_000
DIGEST_CHARS = 16
MOST_BAD_ANSWERS_REMEMBERED = 10_000


class OpenAIModel:
    """A ``Model`` behind an OpenAI-compatible endpoint. Close it when done.

    Without a key no Authorization header is sent (Ollama, vLLM). Without both prices the cost of a call is
    unknown; pictures have no price.
    """

    def __init__(self, settings: ModelSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._client: AsyncOpenAI | None = None
        # What this server turned out not to understand. Its refusals cost no tokens and are remembered.
        self._lacks: frozenset[str] = frozenset()
        # By the prompt's key: answers of no use, which a provider must not give again from its memory.
        self._bad_answers: dict[str, int] = {}

    @property
    def generator(self) -> str:
        """The model's name, which labels what it writes."""
        return self._settings.name

    async def aclose(self) -> None:
        """Close the connections to the provider."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def structured(self, prompt: Prompt, shape: type[ShapeT]) -> Answer[ShapeT]:
        """Answer in the given shape, checked by pydantic whatever the server promised."""
        async with self._in_time():
            completion = await self._call(
                lambda client: self._ask(client, prompt, shape), setting="model.name"
            )
        choice = completion.choices[0]
        text = choice.message.content or ""
        usage = self._usage(completion.usage, prompt, text)
        _check_end(choice.finish_reason, choice.message.refusal, prompt, usage)
        try:
            value = shape.model_validate_json(text)
        except ValidationError as error:
            raise self._bad(prompt, _mismatch(shape, error), usage) from None
        return Answer(value, usage, completion.model or self.generator, self.generator)

    async def stream(self, prompt: Prompt, on_text: Callable[[str], None]) -> Answer[str]:
        """Answer in text, piece by piece."""
        pieces: list[str] = []
        refusal, finish_reason, name = "", None, self.generator
        reported: CompletionUsage | None = None
        async with self._in_time(), aclosing(self._chunks(prompt)) as chunks:
            async for chunk in chunks:
                reported, name = chunk.usage or reported, chunk.model or name
                for choice in (chunk.choices or ())[:1]:
                    finish_reason = choice.finish_reason or finish_reason
                    refusal += choice.delta.refusal or ""
                    if choice.delta.content:
                        pieces.append(choice.delta.content)
                        on_text(choice.delta.content)
        if finish_reason is None:
            raise UnavailableError("The model's answer broke off before its end.", code="stream_cut")
        text = "".join(pieces)
        usage = self._usage(reported, prompt, text)
        _check_end(finish_reason, refusal, prompt, usage)
        if not text.strip():
            raise self._bad(prompt, "The model answered with nothing.", usage, code="empty_answer")
        return Answer(text, usage, name, self.generator)

    async def image(self, prompt: Prompt) -> Answer[Picture] | None:
        """Draw what ``prompt.user`` describes; None when no image model is configured.

        Only a picture inside the answer is taken: an address is never fetched, since whoever answers could
        point it at the machine's own network.
        """
        name = self._settings.image_model
        if not name:
            return None
        async with self._in_time():
            drawn = await self._call(
                lambda client: self._ask_image(client, name, prompt), setting="model.image_model"
            )
        usage = Usage(drawn.usage.input_tokens, drawn.usage.output_tokens) if drawn.usage else Usage()
        encoded = drawn.data[0].b64_json if drawn.data else None
        if not encoded:
            raise UnusableAnswerError(
                "The image server answered with an address instead of a picture. Set model.image_model to a "
                "model that answers with the picture itself (b64_json), or leave it empty to draw locally.",
                usage=usage,
                code="image_not_inline",
            )
        try:
            return Answer(jpeg_from_base64(encoded), usage, name, name)
        except ValueError as error:
            message = f"The image server's picture cannot be used: {error}"
            raise self._bad(prompt, message, usage, code="bad_picture") from None

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        limit = asyncio.timeout(self._settings.timeout_s)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise UnavailableError(
                f"The model did not finish within {self._settings.timeout_s:g} s (model.timeout_s).",
                code="model_slow",
            ) from None

    async def _call(self, ask: Callable[[AsyncOpenAI], Awaitable[ResultT]], *, setting: str) -> ResultT:
        """Ask; where the server does not understand an optional part, ask once more without that part."""
        from openai import OpenAIError

        while True:
            try:
                return await ask(self._connected())
            except OpenAIError as error:
                feature = lacking_feature(error)
                if feature is None or feature in self._lacks:
                    raise explained(error, setting=setting, now=self._clock.time()) from None
                self._lacks |= {feature}
            except ValueError:
                raise UnavailableError(
                    "The model server answered with something that is not JSON.", code="not_json"
                ) from None

    def _connected(self) -> AsyncOpenAI:
        if self._client is None:
            import httpx2
            from openai import AsyncOpenAI

            # The library writes whole requests to its log at debug level, and those hold people's texts.
            logging.getLogger("openai").setLevel(logging.WARNING)
            key = self._settings.api_key
            self._client = AsyncOpenAI(
                api_key=key.get_secret_value() if key else "keyless",
                base_url=self._settings.base_url or OPENAI_BASE_URL,
                timeout=httpx2.Timeout(self._settings.timeout_s, connect=CONNECT_TIMEOUT_S),
                max_retries=0,
            )
        return self._client

    async def _ask(self, client: AsyncOpenAI, prompt: Prompt, shape: type[BaseModel]) -> ChatCompletion:
        from openai.types.chat import ChatCompletion

        strict = "response_format" not in self._lacks
        options = self._options(prompt, shape=None if strict else shape)
        options["response_format"] = _json_schema(shape) if strict else {"type": "json_object"}
        completion: object = await client.chat.completions.create(
            **options, extra_headers=self._headers(prompt, options)
        )
        if not isinstance(completion, ChatCompletion) or not completion.choices:
            raise UnavailableError("The model server answered without an answer.", code="no_answer")
        return completion

    async def _chunks(self, prompt: Prompt) -> AsyncGenerator[ChatCompletionChunk, None]:
        from openai import OpenAIError

        stream = await self._call(lambda client: self._ask_stream(client, prompt), setting="model.name")
        async with stream:
            try:
                async for chunk in stream:
                    yield chunk
            except OpenAIError as error:
                raise explained(error, setting="model.name", now=self._clock.time()) from None
            except ValueError:
                raise UnavailableError("The model's answer came garbled.", code="stream_cut") from None

    async def _ask_stream(self, client: AsyncOpenAI, prompt: Prompt) -> AsyncStream[ChatCompletionChunk]:
        options = self._options(prompt)
        if "stream_options" not in self._lacks:
            options["stream_options"] = {"include_usage": True}
        stream = await client.chat.completions.create(
            **options, stream=True, extra_headers=self._headers(prompt, options)
        )
        return cast("AsyncStream[ChatCompletionChunk]", stream)

    async def _ask_image(self, client: AsyncOpenAI, name: str, prompt: Prompt) -> ImagesResponse:
        # Newer OpenAI models always answer with the picture itself and refuse to be asked for it.
        options: dict[str, Any] = {"model": name, "prompt": prompt.user, "n": 1, "size": IMAGE_SIZE}
        if "response_format" not in self._lacks:
            options["response_format"] = "b64_json"
        drawn = await client.images.generate(**options, extra_headers=self._headers(prompt, options))
        return cast("ImagesResponse", drawn)

    def _options(self, prompt: Prompt, *, shape: type[BaseModel] | None = None) -> dict[str, Any]:
        """The arguments of a chat completion; with ``shape`` its JSON schema goes into the prompt."""
        # OpenAI's newer models refuse max_tokens; other servers ignore its new name and write without end.
        limit = "max_completion_tokens" if "max_tokens" in self._lacks else "max_tokens"
        options: dict[str, Any] = {
            "model": self._settings.name,
            "messages": _messages(prompt, shape),
            limit: prompt.max_tokens,
        }
        if prompt.temperature is not None and "temperature" not in self._lacks:
            options["temperature"] = prompt.temperature
        return options

    def _headers(self, prompt: Prompt, body: dict[str, Any]) -> dict[str, Any]:
        from openai import Omit

        keyless = {} if self._settings.api_key else {"Authorization": Omit()}
        return {"Idempotency-Key": self._key(prompt, body), **keyless}

    def _key(self, prompt: Prompt, body: dict[str, Any]) -> str:
        """The same for the same body while its outcome is not known; another one after a useless answer.

        A provider that keeps keys refuses one that comes with another body, and repeats what it answered.
        """
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:DIGEST_CHARS]
        return f"{prompt.idempotency_key}/{digest}/{self._bad_answers.get(prompt.idempotency_key, 0)}"

    def _bad(self, prompt: Prompt, message: str, usage: Usage, *, code: str | None = None) -> BadAnswerError:
        count = self._bad_answers.pop(prompt.idempotency_key, 0) + 1
        if len(self._bad_answers) >= MOST_BAD_ANSWERS_REMEMBERED:
            del self._bad_answers[next(iter(self._bad_answers))]  # the one that is longest ago
        self._bad_answers[prompt.idempotency_key] = count
        return BadAnswerError(message, usage=usage, code=code)

    def _usage(self, reported: CompletionUsage | None, prompt: Prompt, text: str) -> Usage:
        if reported is None:
            asked, answered = estimated_tokens(prompt.system + prompt.user), estimated_tokens(text)
        else:
            asked, answered = reported.prompt_tokens or 0, reported.completion_tokens or 0
        return Usage(asked, answered, self._cost(asked, answered), estimated=reported is None)

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal | None:
        reading, writing = self._settings.price_input_per_million, self._settings.price_output_per_million
        if reading is None or writing is None:
            return None
        # A price is written in decimal (0.15), so its shortest decimal form is what was meant.
        cost = prompt_tokens * Decimal(str(reading)) + completion_tokens * Decimal(str(writing))
        return cost / TOKENS_PER_PRICE


def _messages(prompt: Prompt, shape: type[BaseModel] | None) -> list[dict[str, str]]:
    system = prompt.system
    if shape is not None:
        system += (
            f"\n\nAnswer with one JSON object of this JSON schema:\n{json.dumps(shape.model_json_schema())}"
        )
    return [{"role": "system", "content": system}, {"role": "user", "content": prompt.user}]


def _json_schema(shape: type[BaseModel]) -> dict[str, object]:
    """The response format that holds the server to ``shape``, in the strict dialect of JSON schema."""
    from openai import pydantic_function_tool

    strict = pydantic_function_tool(shape)["function"]
    schema = {"name": shape.__name__, "schema": strict.get("parameters"), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _check_end(finish_reason: str | None, refusal: str | None, prompt: Prompt, usage: Usage) -> None:
    if refusal or finish_reason == "content_filter":
        raise ModelRefusedError("The model declined to answer this topic. Try other words.", usage=usage)
    if finish_reason == "length":
        raise AnswerTooLongError(
            f"The model's answer was cut off at the {prompt.max_tokens} tokens it was allowed.", usage=usage
        )


def _mismatch(shape: type[BaseModel], error: ValidationError) -> str:
    """Which fields are wrong and how, without the values, which are the model's words."""
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'the answer'}: {fault['type']}"
        for fault in error.errors(include_input=False, include_url=False, include_context=False)[:3]
    ]
    return f"The model's answer does not have the shape of {shape.__name__} ({'; '.join(faults)})."

"""Reading an agent's answer: what is not the contract is refused, and none of its words are repeated."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import from_json

from orchestrator.agents.remote.contract import (
    AgentAwayError,
    AgentBusyError,
    AgentError,
    AgentErrorCode,
    AgentReply,
    AgentRequest,
)
from orchestrator.agents.retry_after import retry_after

if TYPE_CHECKING:
    import httpx2

MOST_ANSWER_BYTES: Final = 1_000_000
LONGEST_ETAG_CHARS: Final = 512
# An escaped NUL: valid JSON, but no text that PostgreSQL keeps. A backslash before it makes it harmless.
NUL: Final = rb"\u0000"
ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
REFUSES_TOKEN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class _Envelope(BaseModel):
    """Every answer's body. Members that a later contract may add are let through."""

    model_config = ConfigDict(strict=True)

    ok: bool
    data: JsonValue = None
    error: str | None = None
    code: str | None = None


async def read_reply(
    response: httpx2.Response, request: AgentRequest, *, etag: str | None, now: float
) -> AgentReply:
    """The reply in ``response``, to a request that was sent with ``etag`` at about ``now`` (epoch seconds).

    Raises:
        AgentError: there is none in it.
    """
    status = response.status_code
    if status == HTTPStatus.NOT_MODIFIED and etag is not None:
        await _body(response, request)  # there is none; once read, the connection serves the next call
        return AgentReply(None, _etag(response) or etag, not_modified=True)
    if not response.is_success:
        code = await _code_of_refusal(response, request)
        raise _refusal(request.agent, status, code, retry_after(response.headers, now))
    envelope = _opened(await _body(response, request), request)
    if not envelope.ok:
        code = _known(envelope.code)
        raise AgentError(code, f"The agent {request.agent} could not do what was asked ({code}).")
    _check_shape(envelope.data, request)
    return AgentReply(envelope.data, _etag(response))


async def _code_of_refusal(response: httpx2.Response, request: AgentRequest) -> AgentErrorCode:
    """Why the agent says that it refuses, where it keeps the contract even then."""
    try:
        return _known(_opened(await _body(response, request), request).code)
    except AgentError:
        return AgentErrorCode.AGENT_ERROR


def _refusal(agent: str, status: int, code: AgentErrorCode, wait_s: float | None) -> AgentError:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        message = f"The agent {agent} asks to slow down (429)."
        return AgentBusyError(AgentErrorCode.RATE_LIMIT, message, retry_after=wait_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return AgentAwayError(code, f"The agent {agent} failed ({status}, {code}).", retry_after=wait_s)
    return AgentError(code, _explained(agent, status))


def _known(code: str | None) -> AgentErrorCode:
    """An agent's own code where it is one of ours; others may be anything."""
    return next((ours for ours in AgentErrorCode if ours == code), AgentErrorCode.AGENT_ERROR)


def _explained(agent: str, status: int) -> str:
    if status in REFUSES_TOKEN:
        return (
            f"The agent {agent} refused the service token ({status}). Set EDGE_SERVICE_JWT to one it takes."
        )
    if status == HTTPStatus.NOT_FOUND:
        return f"There is no agent {agent} at the agents' address (404). Check EDGE_BASE_URL."
    if status < HTTPStatus.BAD_REQUEST:
        return (
            f"The agent {agent} answered {status}, which is no answer; redirects are not followed, since the "
            "service token would go along. Set EDGE_BASE_URL to where the agents are."
        )
    return f"The agent {agent} does not accept the request ({status})."


async def _body(response: httpx2.Response, request: AgentRequest) -> bytes:
    # A compressed body may unfold to a thousand times its size, so none is asked for and none is unpacked.
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _bad(request, "it is compressed, though no compression was asked for")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MOST_ANSWER_BYTES:
            raise _bad(request, f"it is larger than {MOST_ANSWER_BYTES:,} bytes")
    return bytes(body)


def _opened(body: bytes, request: AgentRequest) -> _Envelope:
    if NUL in body and ESCAPED_NUL.search(body):
        raise _bad(request, "it holds the character NUL, which no table can keep")
    try:
        return _Envelope.model_validate(from_json(body, allow_inf_nan=False))
    except ValidationError as error:
        raise _bad(request, f"it is not {{ok, data, error, code}} ({_faults(_Envelope, error)})") from None
    except ValueError:
        raise _bad(request, "it is not JSON") from None


def _check_shape(data: JsonValue, request: AgentRequest) -> None:
    if request.shape is None:
        return
    try:
        request.shape.model_validate(data)
    except ValidationError as error:
        faults = _faults(request.shape, error)
        raise _bad(request, f"its data is no {request.shape.__name__} ({faults})") from None


def _bad(request: AgentRequest, reason: str) -> AgentError:
    return AgentError(
        AgentErrorCode.BAD_SCHEMA, f"The answer of the agent {request.agent} is of no use: {reason}."
    )


def _faults(shape: type[BaseModel], error: ValidationError) -> str:
    """Which of the shape's fields are wrong and how, without values and names that the agent chose."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)[:3]
    return "; ".join(f"{_field(shape, fault['loc'])}: {fault['type']}" for fault in faults)


def _field(shape: type[BaseModel], location: tuple[int | str, ...]) -> str:
    return str(location[0]) if location and location[0] in shape.model_fields else "the whole"


def _etag(response: httpx2.Response) -> str | None:
    """The answer's ETag, where it can be sent back."""
    etag = response.headers.get("etag", "")
    sound = 0 < len(etag) <= LONGEST_ETAG_CHARS and etag.isascii() and etag.isprintable()
    return etag if sound else None

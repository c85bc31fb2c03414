"""Every error is a problem document that says what is wrong and keeps secrets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from orchestrator.web.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

JSON = {"Content-Type": "application/json"}


def problem_of(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Check that ``answer`` is a problem document of this status and code, and give it."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    Problem.model_validate(problem, strict=True)
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["error"] == problem["detail"]
    assert problem["trace_id"] == answer.headers["traceparent"].split("-")[1]
    return problem


async def test_an_error_of_ours_has_its_status_code_and_sentence(client: httpx2.AsyncClient) -> None:
    """What a room raises is what the caller reads."""
    problem = problem_of(await client.get("/things/t9"), 404, "not_found")

    assert problem["detail"] == "There is no such thing."
    assert problem["title"] == "Not Found"


async def test_a_retryable_error_says_when_to_come_back(client: httpx2.AsyncClient) -> None:
    """Seconds are rounded up: earlier would be too early."""
    answer = await client.get("/fails/foreseen")

    problem_of(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "2"


async def test_what_nobody_foresaw_is_told_to_the_logs_alone(client: httpx2.AsyncClient) -> None:
    """The caller gets no internals; the log line has the exception under the same trace id."""
    with capture_logs() as lines:
        answer = await client.get("/fails/unforeseen")

    problem_of(answer, 500, "internal")
    assert "secret recipe" not in answer.text
    (failed,) = [line for line in lines if line["log_level"] == "error"]
    assert failed["exc_info"]


async def test_people_can_read_what_is_wrong_as_it_stands(client: httpx2.AsyncClient) -> None:
    """Signs are signs, not escapes."""
    answer = await client.post("/things", json={"größe": 1})
    problem_of(answer, 400, "invalid_input")
    assert "größe".encode() in answer.content


async def test_a_wrong_request_lists_each_wrong_field_and_repeats_none(client: httpx2.AsyncClient) -> None:
    """400 with every field and what it takes; values, which may be secret or huge, do not come back."""
    body = {"name": "", "count": 77, "password": "hunter2", "nmae": "x" * 300}
    answer = await client.post("/things", json=body)

    problem = problem_of(answer, 400, "invalid_input")
    assert {wrong["field"] for wrong in problem["errors"]} == {"name", "count", "password", "nmae"}
    assert "count: Input should be less than or equal to 9" in problem["detail"]
    assert "hunter2" not in answer.text
    assert "xxx" not in answer.text


async def test_a_wrong_parameter_is_named(client: httpx2.AsyncClient) -> None:
    """Query parameters are explained as body fields are."""
    problem = problem_of(await client.get("/things", params={"limit": "many"}), 400, "invalid_input")

    assert problem["errors"][0]["field"] == "limit"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"",
        b"[1]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"NaN",
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b"[" * 900,
    ],
)
async def test_a_body_that_is_no_thing_is_400(client: httpx2.AsyncClient, content: bytes) -> None:
    """Broken JSON, other JSON, broken UTF-8, lone surrogates, deep nesting: all the caller's mistake."""
    problem_of(await client.post("/things", content=content, headers=JSON), 400, "invalid_input")


async def test_names_of_fields_cannot_break_or_swell_the_answer(client: httpx2.AsyncClient) -> None:
    """Unknown names come back cut; one that cannot be written as UTF-8 is an ordinary mistake."""
    long_name = await client.post("/things", json={"name": "a", "k" * 500: 1})
    unprintable = await client.post("/things", content=b'{"name": "a", "\\ud800": 1}', headers=JSON)

    assert problem_of(long_name, 400, "invalid_input")["errors"][0]["field"] == "k" * 100
    problem_of(unprintable, 400, "invalid_input")


@pytest.mark.parametrize("headers", [{"Content-Type": "text/plain"}, {}, {"Content-Type": "application/xml"}])
async def test_a_body_that_is_not_json_by_its_type_is_refused(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    """Foreign pages can send text/plain without asking first; it is not read as JSON."""
    answer = await client.post("/things", content=b'{"name": "a"}', headers=headers)

    assert "application/json" in problem_of(answer, 400, "unsupported_media_type")["detail"]


async def test_unknown_addresses_and_methods_are_problems_too(client: httpx2.AsyncClient) -> None:
    """The router's own errors have the same shape, and 405 keeps its Allow header."""
    problem_of(await client.get("/nothing"), 404, "not_found")
    problem_of(await client.get("/things/"), 404, "not_found")
    answer = await client.delete("/things")

    assert "GET, HEAD, POST" in problem_of(answer, 405, "method_not_allowed")["detail"]
    assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_a_body_that_declares_too_much_is_refused(client: httpx2.AsyncClient) -> None:
    """By its Content-Length, wherever it goes."""
    problem_of(await client.post("/things", content=b"x" * 1_001, headers=JSON), 400, "payload_too_large")
    problem_of(await client.post("/nothing", content=b"x" * 1_001), 400, "payload_too_large")


async def test_a_body_that_declares_nothing_is_counted(client: httpx2.AsyncClient) -> None:
    """A chunked body is refused when it passes the limit, without reading on."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 400
            yield b"x" * 400

    answer = await client.post("/things", content=endless(), headers=JSON)

    problem_of(answer, 400, "payload_too_large")
    assert read <= 2_000


async def test_validation_is_not_logged_as_our_failure(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller's mistakes raise no error lines."""
    with caplog.at_level(logging.ERROR), capture_logs() as lines:
        await client.post("/things", json={"name": ""})

    assert not [line for line in lines if line["log_level"] == "error"]
    assert not caplog.records

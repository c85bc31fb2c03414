"""Headers of answers, put beside those that the answer has itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.web.headers import put, put_missing, written

if TYPE_CHECKING:
    from starlette.types import Message

CARE = written({"Cache-Control": "no-store", "X-Frame-Options": "DENY"})


def beginning(*headers: tuple[bytes, bytes]) -> Message:
    """An answer that begins with these headers."""
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def test_names_are_written_in_lower_case() -> None:
    """As ASGI and HTTP/2 have them."""
    assert CARE == ((b"cache-control", b"no-store"), (b"x-frame-options", b"DENY"))


def test_what_is_put_takes_the_place_of_what_was_said() -> None:
    """All of it, should it be said twice; the rest stays, also what is there more than once."""
    cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    answer = beginning((b"cache-control", b"public"), *cookies, (b"cache-control", b"max-age=9"))

    put(CARE, answer)

    assert answer["headers"] == [*cookies, *CARE]


def test_what_an_answer_says_itself_is_not_missing() -> None:
    """A route that may be cached says so, and is."""
    answer = beginning((b"cache-control", b"public"))

    put_missing(CARE, answer)

    assert answer["headers"] == [(b"cache-control", b"public"), (b"x-frame-options", b"DENY")]
